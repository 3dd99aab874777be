"""What happens to the demo in its life: by its specs, and behind the controller's back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from controller.aws import AwsClient
from controller.core.values import Key
from tests.conformance.resource_lifecycle import UpdateCase
from tests.demo import Demo, Model

# Forty characters are as many as a name may have.
LONGEST_NAME = "a-model-whose-name-is-as-long-as-allowed"
MODEL = Model(name=LONGEST_NAME, environment="an-environment-name-as-long-as-it-may-be")
SERVED_REVISION_FIELDS = frozenset({"taskDefinition"})
SERVER_CONTAINER = "containerDefinitions.server"


# Types that can't be given to a stranger, and so not be disputed.
NOT_TRANSFERABLE = {
    "sagemaker/training-job": "a finished job is read once, and its name holds its owner and its fingerprint"
}


def _model(demo: Demo, **changes: Any) -> None:
    demo.models = (replace(demo.models[0], **changes),)


def _relabel(demo: Demo) -> None:
    demo.labels = "{team: risk}"
    _model(demo, labels="{team: risk}")


def _unlabel(demo: Demo) -> None:
    demo.labels = "{}"
    _model(demo, labels="{}")


def _change_service(demo: Demo) -> None:
    secret = "arn:aws:ssm:us-east-1:123456789012:parameter/salt"
    _model(
        demo,
        service="{cpu: 0.5 vCPU, memory: 1 GB, desiredCount: 2, env: {LOG_LEVEL: info},"
        f" secrets: [{{name: SALT, valueFrom: '{secret}'}}]}}",
        api="{routes: [{method: POST, path: /predict}, {method: GET, path: /model}], throttle: {rate: 50, burst: 100},"
        " cors: {allowOrigins: ['https://a.example']}}",
    )


def _change_gate(demo: Demo) -> None:
    _model(demo, gate=2e9)


def _change_server(demo: Demo) -> None:
    demo.server_digest = "6" * 64


def _name_stage(demo: Demo) -> None:
    _model(demo, service=Model.service, api=MODEL.api.replace("{routes", "{stage: prod, routes"))


def _edit_manually(demo: Demo) -> None:
    """What a person with a console and good intentions does."""
    aws, own = demo.aws_client(), _outputs(demo)
    role, group, bucket = own["iam/role/task"]["name"], own["ec2/security-group"]["id"], own["s3/bucket"]["name"]
    repository = own["ecr/repository"]["name"]
    admin = aws.write("iam", "create_policy", PolicyName="admin", PolicyDocument=_any_resource())["Policy"]["Arn"]
    aws.write("iam", "attach_role_policy", RoleName=role, PolicyArn=admin)
    aws.write("iam", "put_role_policy", RoleName=role, PolicyName="more", PolicyDocument=_any_resource())
    aws.write("iam", "update_assume_role_policy", RoleName=role, PolicyDocument=_public_principal(aws))
    world = [{"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}]
    aws.write("ec2", "authorize_security_group_ingress", GroupId=group, IpPermissions=world)
    off = {"Status": "Suspended"}
    aws.write("s3", "put_bucket_versioning", Bucket=bucket, VersioningConfiguration=off)
    aws.write("logs", "put_retention_policy", logGroupName=own["logs/log-group"]["name"], retentionInDays=1)
    aws.write("ecr", "put_image_tag_mutability", repositoryName=repository, imageTagMutability="MUTABLE")
    scan = {"scanOnPush": False}
    aws.write("ecr", "put_image_scanning_configuration", repositoryName=repository, imageScanningConfiguration=scan)
    slow = {"DnsConfig": {"DnsRecords": [{"Type": "SRV", "TTL": 300}]}}
    aws.write("servicediscovery", "update_service", Id=own["servicediscovery/service"]["id"], Service=slow)
    _redirect_route_and_add_duplicates(aws, own)


def _redirect_route_and_add_duplicates(aws: AwsClient, own: Mapping[str, Mapping[str, Any]]) -> None:
    """Lead a route elsewhere, and leave twins of API, integration and VPC link, as calls do that were sent twice."""
    link = own["apigatewayv2/vpc-link"]["id"]
    (shared,) = [item for item in aws.iter_items("apigatewayv2", "get_vpc_links", "Items") if item["VpcLinkId"] == link]
    made = {name: shared[name] for name in ("Name", "SubnetIds", "SecurityGroupIds", "Tags")}
    aws.write("apigatewayv2", "create_vpc_link", **made)
    api = own["apigatewayv2/api"]["id"]
    (live,) = [item for item in aws.iter_items("apigatewayv2", "get_apis", "Items") if item["ApiId"] == api]
    aws.write("apigatewayv2", "create_api", Name=live["Name"], ProtocolType="HTTP", Tags=live["Tags"])
    mine = next(iter(aws.iter_items("apigatewayv2", "get_integrations", "Items", ApiId=api)))
    twin = {name: value for name, value in mine.items() if name != "IntegrationId"}
    other = aws.write("apigatewayv2", "create_integration", ApiId=api, **twin)["IntegrationId"]
    route = own["apigatewayv2/route/POST /predict"]["id"]
    target = f"integrations/{other}"
    aws.write("apigatewayv2", "update_route", ApiId=api, RouteId=route, Target=target)


def _supersede_training(demo: Demo) -> None:
    """Start another training, a long one, and think better of it."""
    _model(demo, depth=3, rounds=1_000_000)
    demo.reconciler().reconcile(demo.spec_contexts())
    _model(demo, depth=MODEL.depth, rounds=MODEL.rounds)


def _outputs(demo: Demo) -> dict[str, Mapping[str, Any]]:
    """What the objects gave, by type and part."""
    return {_part(record.key): record.outputs for record in demo.store.list_records(demo.environment)}


def _part(key: Key) -> str:
    part = key.name.partition("/")[2] if not key.name.startswith("/") else ""
    return f"{key.kind}/{part}" if part else key.kind


def _all(parent: str, *names: str) -> frozenset[str]:
    return frozenset(f"{parent}.{name}" for name in names)


def _any_resource() -> str:
    return '{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}'


def _public_principal(aws: AwsClient) -> str:
    principal = f'{{"AWS": "arn:aws:iam::{aws.account}:root"}}'
    statement = f'{{"Effect": "Allow", "Principal": {principal}, "Action": "sts:AssumeRole"}}'
    return f'{{"Version": "2012-10-17", "Statement": [{statement}]}}'


_SECTIONS = {
    "apigatewayv2/api": _all("CorsConfiguration", "AllowHeaders", "AllowMethods", "AllowOrigins"),
    "ecs/task-definition": frozenset(
        {"cpu", f"{SERVER_CONTAINER}.environment.LOG_LEVEL", f"{SERVER_CONTAINER}.secrets.SALT"}
    ),
    "ecs/service": SERVED_REVISION_FIELDS | {"desiredCount"},
    "iam/role": frozenset({"policies.moorage.Statement"}),
}
_LIMITS = _all("DefaultRouteSettings", "ThrottlingBurstLimit", "ThrottlingRateLimit")
_TRUST = _all("trust.Statement", "Condition", "Principal.AWS", "Principal.Service")
UPDATE_CASES = (
    UpdateCase("another label", _relabel, {"ecs/service": SERVED_REVISION_FIELDS}, tag="team"),
    UpdateCase("no label", _unlabel, {"ecs/service": SERVED_REVISION_FIELDS}, tag="team"),
    UpdateCase("another service", _change_service, _SECTIONS | {"apigatewayv2/stage": _LIMITS}),
    UpdateCase(
        "the service as before, under a named stage",
        _name_stage,
        _SECTIONS
        | {
            "apigatewayv2/stage": frozenset({"replace", "delete"}),
            "apigatewayv2/integration": frozenset({"RequestParameters.overwrite:path"}),
        },
    ),
    UpdateCase(
        "another gate",
        _change_gate,
        # What it decides may change what serves.
        dict.fromkeys(("ecr/image", "ecs/task-definition", "ecs/service"), frozenset({"later"}))
        | {"sagemaker/model-package": frozenset({"decision"})},
    ),
    UpdateCase(
        "another server",
        _change_server,
        {
            "ecr/image": frozenset({"server"}),
            "ecs/task-definition": frozenset({f"{SERVER_CONTAINER}.image"}),
            "ecs/service": SERVED_REVISION_FIELDS,
        },
    ),
    UpdateCase(
        "by hand",
        _edit_manually,
        {
            "apigatewayv2/api": frozenset({"duplicates"}),
            "apigatewayv2/integration": frozenset({"duplicates"}),
            "apigatewayv2/route": frozenset({"Target"}),
            "apigatewayv2/vpc-link": frozenset({"duplicates"}),
            "ec2/security-group": frozenset({"ingress"}),
            "ecr/repository": frozenset({"imageScanningConfiguration.scanOnPush", "imageTagMutability"}),
            "iam/role": _TRUST | {"attached", "policies.more"},
            "logs/log-group": frozenset({"retention"}),
            "s3/bucket": frozenset({"versioning"}),
            "servicediscovery/service": frozenset({"records.SRV.TTL"}),
        },
    ),
    UpdateCase("superseded in flight", _supersede_training, {"sagemaker/training-job": frozenset({"delete"})}),
)
