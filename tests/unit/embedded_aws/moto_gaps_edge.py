"""More gaps of moto: API Gateway, Cloud Map, EC2, events, rates. See `moto_gaps`."""

from __future__ import annotations

import json
from typing import Any

from botocore.exceptions import ClientError

from tests.conftest import EmbeddedAws
from tests.unit.embedded_aws.moto_gaps import (
    Cases,
    becomes_true,
    error_code,
    fetch,
    job_request,
    service_request,
    unique_name,
)

case = Cases()
SRV = {"DnsConfig": {"DnsRecords": [{"Type": "SRV", "TTL": 10}]}, "HealthCheckCustomConfig": {"FailureThreshold": 1}}


def create_api(aws: EmbeddedAws) -> str:
    """Create an HTTP API; return its id."""
    return str(aws.client("apigatewayv2").create_api(Name=unique_name("api"), ProtocolType="HTTP")["ApiId"])


# --- API Gateway ----------------------------------------------------------------------------------------------------


@case("apigatewayv2/a-stage-can-be-updated")
def _(aws: EmbeddedAws) -> bool:
    gateway, own = aws.client("apigatewayv2"), create_api(aws)
    gateway.create_stage(ApiId=own, StageName="prod")
    return error_code(gateway.update_stage, ApiId=own, StageName="prod", AutoDeploy=True) == ""


@case("apigatewayv2/deployments-can-be-created")
def _(aws: EmbeddedAws) -> bool:
    gateway, own = aws.client("apigatewayv2"), create_api(aws)
    gateway.create_route(ApiId=own, RouteKey="GET /livez")
    return error_code(gateway.create_deployment, ApiId=own) == ""


@case("apigatewayv2/a-route-key-is-used-once")
def _(aws: EmbeddedAws) -> bool:
    gateway, own = aws.client("apigatewayv2"), create_api(aws)
    gateway.create_route(ApiId=own, RouteKey="GET /livez")
    return error_code(gateway.create_route, ApiId=own, RouteKey="GET /livez") == "ConflictException"


@case("apigatewayv2/a-stage-is-created-once")
def _(aws: EmbeddedAws) -> bool:
    gateway, own = aws.client("apigatewayv2"), create_api(aws)
    gateway.create_stage(ApiId=own, StageName="prod")
    return error_code(gateway.create_stage, ApiId=own, StageName="prod") == "ConflictException"


@case("apigatewayv2/a-routes-target-must-exist")
def _(aws: EmbeddedAws) -> bool:
    made = {"ApiId": create_api(aws), "RouteKey": "GET /livez", "Target": "integrations/nothing"}
    return error_code(aws.client("apigatewayv2").create_route, **made) == "NotFoundException"


@case("apigatewayv2/an-integrations-link-must-exist")
def _(aws: EmbeddedAws) -> bool:
    _, service = create_namespace_and_service(aws)
    made = {
        "ApiId": create_api(aws),
        "IntegrationType": "HTTP_PROXY",
        "IntegrationMethod": "ANY",
        "ConnectionType": "VPC_LINK",
        "ConnectionId": "nothing",
        "PayloadFormatVersion": "1.0",
        "IntegrationUri": service["Arn"],
    }
    return error_code(aws.client("apigatewayv2").create_integration, **made) in (
        "BadRequestException",
        "NotFoundException",
    )


@case("apigatewayv2/an-api-takes-requests")
def _(aws: EmbeddedAws) -> bool:
    gateway, own = aws.client("apigatewayv2"), create_api(aws)
    gateway.create_stage(ApiId=own, StageName="$default", AutoDeploy=True)
    status, body = fetch(gateway.get_api(ApiId=own)["ApiEndpoint"] + "/nowhere")
    return status == 404 and json.loads(body) == {"message": "Not Found"}


@case("apigatewayv2/apis-are-paged")
def _(aws: EmbeddedAws) -> bool:
    gateway = aws.client("apigatewayv2")
    made = [create_api(aws) for _ in range(26)]
    first = gateway.get_apis()
    for own in made:
        gateway.delete_api(ApiId=own)
    return len(first["Items"]) == 25 and "NextToken" in first


# --- Cloud Map ------------------------------------------------------------------------------------------------------


def namespace_request(aws: EmbeddedAws, name: str) -> dict[str, Any]:
    """Return a CreatePrivateDnsNamespace request in a new VPC: moto allows one private namespace per VPC."""
    vpc = aws.client("ec2").create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    return {"Name": name, "Vpc": vpc}


def create_namespace_and_service(aws: EmbeddedAws) -> tuple[str, dict[str, Any]]:
    """Create a namespace and a service in it; return the namespace's id and the service."""
    cloud_map = aws.client("servicediscovery")
    operation = cloud_map.create_private_dns_namespace(**namespace_request(aws, f"{unique_name('n')}.internal"))[
        "OperationId"
    ]
    found = cloud_map.get_operation(OperationId=operation)["Operation"]["Targets"]["NAMESPACE"]
    return found, cloud_map.create_service(Name="model", NamespaceId=found, **SRV)["Service"]


@case("servicediscovery/a-namespace-is-created-once")
def _(aws: EmbeddedAws) -> bool:
    request = namespace_request(aws, f"{unique_name('n')}.internal")
    make = aws.client("servicediscovery").create_private_dns_namespace
    make(**request, CreatorRequestId="one")
    return error_code(make, **request, CreatorRequestId="two") == "NamespaceAlreadyExists"


@case("servicediscovery/a-service-is-created-once")
def _(aws: EmbeddedAws) -> bool:
    found, _ = create_namespace_and_service(aws)
    make = aws.client("servicediscovery").create_service
    return error_code(make, Name="model", NamespaceId=found, **SRV) == "ServiceAlreadyExists"


@case("servicediscovery/a-namespace-with-services-is-not-deleted")
def _(aws: EmbeddedAws) -> bool:
    found, _ = create_namespace_and_service(aws)
    return error_code(aws.client("servicediscovery").delete_namespace, Id=found) == "ResourceInUse"


@case("servicediscovery/a-service-with-instances-is-not-deleted")
def _(aws: EmbeddedAws) -> bool:
    cloud_map, (_, service) = aws.client("servicediscovery"), create_namespace_and_service(aws)
    here = {"AWS_INSTANCE_IPV4": "127.0.0.1", "AWS_INSTANCE_PORT": "8080"}
    cloud_map.register_instance(ServiceId=service["Id"], InstanceId="task", Attributes=here)
    return error_code(cloud_map.delete_service, Id=service["Id"]) == "ResourceInUse"


# --- all services, EC2 and events -----------------------------------------------------------------------------------


@case("all/missing-operations-answer-501")
def _(aws: EmbeddedAws) -> bool:
    try:
        aws.client("apigatewayv2").import_api(Body="{}")
    except ClientError as error:
        return bool(error.response["ResponseMetadata"]["HTTPStatusCode"] == 501)
    return False


@case("all/request-rates-are-enforced")
def _(aws: EmbeddedAws) -> bool:
    gateway, subnets = aws.client("apigatewayv2"), ["subnet-missing"]
    turned = fetch(f"{aws.endpoint}/_moorage/rates")[0] == 200
    if turned:
        aws.call_admin_endpoint("rates", "PUT", {"enforced": True})
    codes = [error_code(gateway.create_vpc_link, Name="link", SubnetIds=subnets) for _ in range(2)]
    if turned:
        aws.call_admin_endpoint("rates", "PUT", {"enforced": False})
    return codes[1] == "TooManyRequestsException"


def create_queue(aws: EmbeddedAws, source: str) -> str:
    """Create a queue that receives the events of a service; return its URL."""
    sqs, events = aws.client("sqs"), aws.client("events")
    queue, rule = sqs.create_queue(QueueName=unique_name("queue"))["QueueUrl"], unique_name("rule")
    arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    events.put_rule(Name=rule, EventPattern=json.dumps({"source": [source]}))
    events.put_targets(Rule=rule, Targets=[{"Id": "queue", "Arn": arn}])
    return str(queue)


def is_event_delivered(aws: EmbeddedAws, queue: str, name: str) -> bool:
    """Return whether a message that contains the name arrives on the queue."""
    sqs = aws.client("sqs")
    return becomes_true(aws, lambda: name in str(sqs.receive_message(QueueUrl=queue).get("Messages", ())))


@case("events/job-states-are-events")
def _(aws: EmbeddedAws) -> bool:
    queue, request = create_queue(aws, "aws.sagemaker"), job_request(aws)
    aws.client("sagemaker").create_training_job(**request)
    return is_event_delivered(aws, queue, request["TrainingJobName"])


@case("events/service-changes-are-events")
def _(aws: EmbeddedAws) -> bool:
    queue, request = create_queue(aws, "aws.ecs"), service_request(aws)
    aws.client("ecs").create_service(**request)
    return is_event_delivered(aws, queue, request["cluster"])


@case("ec2/a-group-of-a-vpc-link-is-not-deleted")
def _(aws: EmbeddedAws) -> bool:
    ec2 = aws.client("ec2")
    subnet = ec2.describe_subnets()["Subnets"][0]
    group = ec2.create_security_group(GroupName=unique_name("group"), Description="link", VpcId=subnet["VpcId"])[
        "GroupId"
    ]
    aws.client("apigatewayv2").create_vpc_link(
        Name=unique_name("link"), SubnetIds=[subnet["SubnetId"]], SecurityGroupIds=[group]
    )
    return error_code(ec2.delete_security_group, GroupId=group) == "DependencyViolation"


# --- tagging --------------------------------------------------------------------------------------------------------


@case("tagging/repositories-are-found-by-their-arn")
def _(aws: EmbeddedAws) -> bool:
    tags = [{"Key": "team", "Value": "pricing"}]
    made = aws.client("ecr").create_repository(repositoryName=unique_name("repository"), tags=tags)["repository"]
    index = aws.client("resourcegroupstaggingapi")
    found = index.get_resources(ResourceARNList=[made["repositoryArn"]])["ResourceTagMappingList"]
    return [each["Tags"] for each in found] == [tags]
