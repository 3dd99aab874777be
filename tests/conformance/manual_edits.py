"""What a person with a console does to a live object: for each type, how a field of it is edited.

A field is told as the diff tells it; a document (an IAM policy), a set and a list that is compared as one are one
field.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from controller.aws import AwsClient
from controller.core.graph import Observed
from controller.core.ownership import to_tag_list
from controller.core.values import Key, Value
from tests.conformance.conformance_table import ConformanceTable

ALLOW_ALL_POLICY = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]}
FOREIGN_TRUST_POLICY = {
    **ALLOW_ALL_POLICY,
    "Statement": [{"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"Service": "lambda.amazonaws.com"}}],
}
OTHER_TRAINING_ROWS = b"1,2,3\n"


@dataclass(frozen=True)
class LiveObject:
    """An object as it is, and what finds it."""

    key: Key
    identity: Mapping[str, Value]
    seen: Observed

    @property
    def id(self) -> str:
        """AWS's id of it, where that isn't its name or ARN."""
        return str(self.seen.outputs["id"])


LiveObjects = Mapping[str, LiveObject]
"""What is live, by type and part: `iam/role/task`."""
Chosen = Mapping[str, Value] | None
"""What AWS chose in the place of what was asked for, by field: ids, for the most part."""
Edit = Callable[[AwsClient, LiveObject, str, Mapping[str, Any]], Chosen]
"""Sends one edit: the object, the top-level field, and all its fields as they are to be."""


def _gateway_arn(aws: AwsClient, path: str) -> str:
    return f"arn:{aws.partition}:apigateway:{aws.region}::{path}"


def _api(aws: AwsClient, live: LiveObject, field: str, fields: Mapping[str, Any]) -> Chosen:
    if field == "tags":
        aws.write(
            "apigatewayv2", "tag_resource", ResourceArn=_gateway_arn(aws, f"/apis/{live.id}"), Tags=fields["tags"]
        )
    elif field == "duplicates":
        name, tags = live.identity["name"], dict(live.seen.fields["tags"])
        made = aws.write("apigatewayv2", "create_api", Name=name, ProtocolType="HTTP", Tags=tags)
        return {"duplicates": [made["ApiId"]]}
    else:
        aws.write("apigatewayv2", "update_api", ApiId=live.id, CorsConfiguration=fields["CorsConfiguration"])
    return None


def _integration(aws: AwsClient, live: LiveObject, field: str, fields: Mapping[str, Any]) -> Chosen:
    api = live.identity["api"]
    if field == "duplicates":
        twin = {name: value for name, value in fields.items() if name != "duplicates" and value}
        return {"duplicates": [aws.write("apigatewayv2", "create_integration", ApiId=api, **twin)["IntegrationId"]]}
    value = _TARGET_FACTORIES[field](aws, live.seen.fields[field]) if field in _TARGET_FACTORIES else fields[field]
    aws.write("apigatewayv2", "update_integration", ApiId=api, IntegrationId=live.id, **{field: value})
    return {field: value} if field in _TARGET_FACTORIES else None


def _another_cloud_map_service(aws: AwsClient, arn: str) -> str:
    ours = next(item for item in aws.iter_items("servicediscovery", "list_services", "Services") if item["Arn"] == arn)
    namespace = aws.read("servicediscovery", "get_service", Id=ours["Id"])["Service"]["NamespaceId"]
    records = {"DnsRecords": [{"Type": "SRV", "TTL": 10}]}
    made = aws.write("servicediscovery", "create_service", Name="by-hand", NamespaceId=namespace, DnsConfig=records)
    return str(made["Service"]["Arn"])


def _another_vpc_link(aws: AwsClient, link: str) -> str:
    ours = aws.read("apigatewayv2", "get_vpc_link", VpcLinkId=link)
    return _create_vpc_link(aws, "by-hand", {name: ours[name] for name in ("SubnetIds", "SecurityGroupIds")}, {})


def _create_vpc_link(aws: AwsClient, name: str, where: Mapping[str, Any], tags: Mapping[str, str]) -> str:
    made = str(aws.write("apigatewayv2", "create_vpc_link", Name=name, **where, Tags=tags)["VpcLinkId"])
    deadline = time.monotonic() + 30
    while aws.read("apigatewayv2", "get_vpc_link", VpcLinkId=made)["VpcLinkStatus"] != "AVAILABLE":
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return made


# What must be there before an integration can name it.
_TARGET_FACTORIES = {"IntegrationUri": _another_cloud_map_service, "ConnectionId": _another_vpc_link}


def _route(aws: AwsClient, live: LiveObject, field: str, fields: Mapping[str, Any]) -> Chosen:
    api, value = live.identity["api"], fields[field]
    if field == "Target":
        web = {"IntegrationType": "HTTP_PROXY", "IntegrationMethod": "ANY", "PayloadFormatVersion": "1.0"}
        made = aws.write("apigatewayv2", "create_integration", ApiId=api, IntegrationUri="https://b.example", **web)
        value = f"integrations/{made['IntegrationId']}"
    aws.write("apigatewayv2", "update_route", ApiId=api, RouteId=live.id, **{field: value})
    return {field: value}


def _stage(aws: AwsClient, live: LiveObject, field: str, fields: Mapping[str, Any]) -> Chosen:
    api, name = live.identity["api"], live.identity["name"]
    if field == "tags":
        arn = _gateway_arn(aws, f"/apis/{api}/stages/{name}")
        aws.write("apigatewayv2", "tag_resource", ResourceArn=arn, Tags=fields["tags"])
    else:
        aws.write("apigatewayv2", "update_stage", ApiId=api, StageName=name, **{field: fields[field]})
    return None


def _vpc_link(aws: AwsClient, live: LiveObject, field: str, fields: Mapping[str, Any]) -> Chosen:
    if field == "duplicates":
        where = {"SubnetIds": fields["subnets"], "SecurityGroupIds": fields["security_groups"]}
        return {"duplicates": [_create_vpc_link(aws, live.identity["name"], where, fields["tags"])]}
    aws.write("apigatewayv2", "tag_resource", ResourceArn=live.seen.outputs["arn"], Tags=fields["tags"])
    return None


def _security_group(aws: AwsClient, live: LiveObject, field: str, fields: Mapping[str, Any]) -> Chosen:
    if field == "tags":
        aws.write("ec2", "create_tags", Resources=[live.id], Tags=to_tag_list(fields["tags"]))
    else:
        world = [{"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}]
        aws.write("ec2", "authorize_security_group_ingress", GroupId=live.id, IpPermissions=world)
    return None


def _repository(aws: AwsClient, live: LiveObject, field: str, fields: Mapping[str, Any]) -> Chosen:
    if field == "tags":
        aws.write("ecr", "tag_resource", resourceArn=live.seen.outputs["arn"], tags=to_tag_list(fields["tags"]))
    else:
        of = {
            "imageTagMutability": "put_image_tag_mutability",
            "imageScanningConfiguration": "put_image_scanning_configuration",
        }
        aws.write("ecr", of[field], repositoryName=live.identity["name"], **{field: fields[field]})
    return None


def _ecs_tags(aws: AwsClient, live: LiveObject, field: str, fields: Mapping[str, Any]) -> Chosen:
    tags = to_tag_list(fields[field], "key", "value")
    aws.write("ecs", "tag_resource", resourceArn=live.seen.outputs["arn"], tags=tags)
    return None


def _service(aws: AwsClient, live: LiveObject, field: str, fields: Mapping[str, Any]) -> Chosen:
    change = {name: value for name, value in fields.items() if value != live.seen.fields[name] and name != "tags"}
    chosen = {}
    if field == "tags" or fields["tags"] != live.seen.fields["tags"]:
        _ecs_tags(aws, live, "tags", fields)
    if "taskDefinition" in change:
        family = live.seen.fields["taskDefinition"].rpartition("/")[2].partition(":")[0]
        listed = aws.iter_items("ecs", "list_task_definitions", "taskDefinitionArns", familyPrefix=family)
        chosen["taskDefinition"] = next(arn for arn in listed if arn != live.seen.fields["taskDefinition"])
    if change:
        cluster, name = live.identity["cluster"], live.identity["name"]
        aws.write("ecs", "update_service", cluster=cluster, service=name, **(change | chosen))
    return chosen


def _task_definition(aws: AwsClient, live: LiveObject, field: str, fields: Mapping[str, Any]) -> Chosen:
    del field
    tags = to_tag_list(fields["tags"], "key", "value")
    rest = {name: value for name, value in fields.items() if name != "tags"}
    aws.write("ecs", "register_task_definition", family=live.identity["family"], tags=tags, **rest)
    return None


def _role(aws: AwsClient, live: LiveObject, field: str, fields: Mapping[str, Any]) -> Chosen:
    name = live.identity["name"]
    if field == "trust":
        aws.write("iam", "update_assume_role_policy", RoleName=name, PolicyDocument=json.dumps(fields["trust"]))
    elif field == "policies":
        for policy, document in fields["policies"].items():
            aws.write("iam", "put_role_policy", RoleName=name, PolicyName=policy, PolicyDocument=json.dumps(document))
    elif field == "attached":
        made = aws.write("iam", "create_policy", PolicyName="by-hand", PolicyDocument=json.dumps(ALLOW_ALL_POLICY))
        aws.write("iam", "attach_role_policy", RoleName=name, PolicyArn=made["Policy"]["Arn"])
    else:
        aws.write("iam", "tag_role", RoleName=name, Tags=to_tag_list(fields["tags"]))
    return None


def _log_group(aws: AwsClient, live: LiveObject, field: str, fields: Mapping[str, Any]) -> Chosen:
    name = live.identity["name"]
    if field == "tags":
        aws.write("logs", "tag_resource", resourceArn=live.seen.outputs["arn"], tags=fields["tags"])
    else:
        aws.write("logs", "put_retention_policy", logGroupName=name, retentionInDays=fields["retention"])
    return None


def _bucket(aws: AwsClient, live: LiveObject, field: str, fields: Mapping[str, Any]) -> Chosen:
    value = fields[field]
    rule = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": value}}
    operation, parameters = {
        "tags": lambda: ("put_bucket_tagging", {"Tagging": {"TagSet": to_tag_list(value)}}),
        "public_access": lambda: ("put_public_access_block", {"PublicAccessBlockConfiguration": value}),
        "encryption": lambda: ("put_bucket_encryption", {"ServerSideEncryptionConfiguration": {"Rules": [rule]}}),
        "versioning": lambda: ("put_bucket_versioning", {"VersioningConfiguration": {"Status": value}}),
        "policy": lambda: ("put_bucket_policy", {"Policy": json.dumps(value)}),
    }[field]()
    aws.write("s3", operation, Bucket=live.identity["name"], **parameters)
    return None


def _object(aws: AwsClient, live: LiveObject, field: str, fields: Mapping[str, Any]) -> Chosen:
    where = {"Bucket": live.identity["bucket"], "Key": live.identity["key"]}
    body = OTHER_TRAINING_ROWS
    if field == "content_type":
        with aws.read("s3", "get_object", **where)["Body"] as found:
            body = found.read()
    kind = fields["content_type"]
    aws.write("s3", "put_object", **where, Body=body, ContentType=kind, ChecksumAlgorithm="SHA256")
    return None


def _model_package(aws: AwsClient, live: LiveObject, field: str, fields: Mapping[str, Any]) -> Chosen:
    metadata = {f"moorage:{field}": fields[field]}
    arn = live.seen.outputs["arn"]
    aws.write("sagemaker", "update_model_package", ModelPackageArn=arn, CustomerMetadataProperties=metadata)
    return None


def _model_package_group(aws: AwsClient, live: LiveObject, field: str, fields: Mapping[str, Any]) -> Chosen:
    aws.write("sagemaker", "add_tags", ResourceArn=live.seen.outputs["arn"], Tags=to_tag_list(fields[field]))
    return None


def _discovery(aws: AwsClient, live: LiveObject, field: str, fields: Mapping[str, Any]) -> Chosen:
    if field == "tags":
        arn = live.seen.outputs["arn"]
        aws.write("servicediscovery", "tag_resource", ResourceARN=arn, Tags=to_tag_list(fields["tags"]))
    else:
        change = {"DnsConfig": {"DnsRecords": fields["records"]}}
        aws.write("servicediscovery", "update_service", Id=live.id, Service=change)
    return None


MANUAL_EDITS = ConformanceTable[Edit](
    "MANUAL_EDITS",
    "tests/conformance/manual_edits.py",
    "a function that edits an object's fields past Moorage, as a person would",
    {
        "apigatewayv2/api": _api,
        "apigatewayv2/integration": _integration,
        "apigatewayv2/route": _route,
        "apigatewayv2/stage": _stage,
        "apigatewayv2/vpc-link": _vpc_link,
        "ec2/security-group": _security_group,
        "ecr/repository": _repository,
        "ecs/cluster": _ecs_tags,
        "ecs/service": _service,
        "ecs/task-definition": _task_definition,
        "iam/role": _role,
        "logs/log-group": _log_group,
        "s3/bucket": _bucket,
        "s3/object": _object,
        "sagemaker/model-package": _model_package,
        "sagemaker/model-package-group": _model_package_group,
        "servicediscovery/namespace": _discovery,
        "servicediscovery/service": _discovery,
    },
)


def _base_image(world: LiveObjects) -> Value:
    """Another image in the same repository: the base, without server and model."""
    repository, base = world["ecr/repository"].seen.outputs["uri"], world["ecr/base-image"].seen.outputs["digest"]
    return f"{repository}@{base}"


# What a field is edited to, where any other value of its type won't do.
EDIT_VALUES: Mapping[str, Mapping[str, Value | Callable[[LiveObjects], Value]]] = {
    "apigatewayv2/api": {
        "CorsConfiguration.AllowHeaders": ["x-a", "x-b"],
        "CorsConfiguration.AllowMethods": ["GET", "POST"],
        "CorsConfiguration.AllowOrigins": ["https://a.example", "https://b.example"],
    },
    "apigatewayv2/integration": {
        "IntegrationMethod": "POST",
        "RequestParameters.overwrite:path": "/elsewhere",
        "TimeoutInMillis": 29000,
    },
    "apigatewayv2/route": {"AuthorizationType": "AWS_IAM"},
    "ec2/security-group": {"ingress": [{"from": 22, "protocol": "tcp", "source": "0.0.0.0/0", "to": 22}]},
    "ecr/repository": {"imageTagMutability": "MUTABLE"},
    "ecs/service": {
        "deploymentConfiguration.maximumPercent": 150,
        "deploymentConfiguration.minimumHealthyPercent": 50,
        "networkConfiguration.awsvpcConfiguration.assignPublicIp": "DISABLED",
        "networkConfiguration.awsvpcConfiguration.securityGroups": lambda world: [
            world["ec2/security-group"].id,
            world["ec2/security-group/vpc-link"].id,
        ],
        "networkConfiguration.awsvpcConfiguration.subnets": lambda world: world["ecs/service"].seen.fields[
            "networkConfiguration"
        ]["awsvpcConfiguration"]["subnets"][:1],
        "platformVersion": "1.3.0",
        "propagateTags": "TASK_DEFINITION",
        "serviceRegistries": [],
    },
    "ecs/task-definition": {
        "containerDefinitions.server.healthCheck.command": ["CMD", "true"],
        "containerDefinitions.server.image": _base_image,
        "containerDefinitions.server.logConfiguration.logDriver": "splunk",
        "containerDefinitions.server.logConfiguration.options.awslogs-region": "us-west-2",
        "containerDefinitions.server.portMappings.8080.protocol": "udp",
        "cpu": "512",
        "executionRoleArn": lambda world: world["iam/role/task"].seen.outputs["arn"],
        "memory": "2048",
        "requiresCompatibilities": ["EC2", "FARGATE"],
        "runtimePlatform.cpuArchitecture": "ARM64",
        "runtimePlatform.operatingSystemFamily": "WINDOWS_SERVER_2022_CORE",
        "taskRoleArn": lambda world: world["iam/role/execution"].seen.outputs["arn"],
    },
    "iam/role": {
        "attached": ["arn:aws:iam::123456789012:policy/by-hand"],
        "policies": {"by-hand": ALLOW_ALL_POLICY},
        "policies.moorage": ALLOW_ALL_POLICY,
        "trust": FOREIGN_TRUST_POLICY,
    },
    "logs/log-group": {"retention": 7},
    "s3/bucket": {
        "encryption": "aws:kms",
        "policy": lambda world: _public_read_policy(world["s3/bucket"].identity["name"]),
        "versioning": "Suspended",
    },
    "s3/object": {"content": hashlib.sha256(OTHER_TRAINING_ROWS).hexdigest(), "content_type": "text/plain"},
}


def _public_read_policy(bucket: str) -> Value:
    statement = {"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": f"arn:aws:s3:::{bucket}/*"}
    return {"Version": "2012-10-17", "Statement": [statement]}


Addition = tuple[tuple[str | int, ...], Callable[[Any], Value]]
# What somebody puts into a collection that is ours alone, beside what we have there: the way to it, and its new value.
ADDED_ELEMENTS: Mapping[str, Mapping[str, Addition]] = {
    "apigatewayv2/api": {
        "CorsConfiguration.AllowCredentials": (("CorsConfiguration", "AllowCredentials"), lambda _: True)
    },
    "apigatewayv2/integration": {
        "RequestParameters.append:header.x-a": (("RequestParameters", "append:header.x-a"), lambda _: "b")
    },
    "apigatewayv2/stage": {
        "DefaultRouteSettings.DetailedMetricsEnabled": (
            ("DefaultRouteSettings", "DetailedMetricsEnabled"),
            lambda _: True,
        )
    },
    "ecs/task-definition": {
        "containerDefinitions.server.command": (("containerDefinitions", 0, "command"), lambda _: ["sleep"]),
        "containerDefinitions.server.user": (("containerDefinitions", 0, "user"), lambda _: "0"),
        "containerDefinitions.server.environment.ADDED": (
            ("containerDefinitions", 0, "environment"),
            lambda old: [*old, {"name": "ADDED", "value": "by hand"}],
        ),
        "containerDefinitions.server.secrets.ADDED": (
            ("containerDefinitions", 0, "secrets"),
            lambda old: [*old, {**old[0], "name": "ADDED"}],
        ),
        "containerDefinitions.sidecar": (
            ("containerDefinitions",),
            lambda old: [*old, {"name": "sidecar", "image": old[0]["image"], "essential": False}],
        ),
    },
    "iam/role": {
        "trust.Statement": (("trust", "Statement"), lambda old: [*old, *FOREIGN_TRUST_POLICY["Statement"]]),
    },
    "servicediscovery/service": {"records.A": (("records",), lambda old: [*old, {"Type": "A", "TTL": 10}])},
}
