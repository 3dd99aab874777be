"""What IAM would check of a call, from the call alone: actions, ARNs and context, by AWS's service authorization
reference.

It shares nothing with the types' own `scopes`, so that a scope that is too narrow or too wide shows.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple
from urllib.parse import quote

from controller.aws import AwsCall
from controller.permissions import Grant
from tests.conformance.conformance_table import ConformanceTable

HERE = "us-east-1:123456789012"
APIS = "arn:aws:apigateway:us-east-1::"


class RequiredPermission(NamedTuple):
    """One authorisation that a call asks for."""

    action: str
    arn: str
    context: Mapping[str, str]


def required_permissions(
    client: Any, call: AwsCall, actions: frozenset[str], environment: str
) -> Iterator[RequiredPermission]:
    """Every authorisation of a call that needs these actions, on objects of this environment."""
    shared = {**_request_tags(call), "aws:ResourceTag/moorage:environment": environment}
    for action in sorted(actions):
        for arn, context in _resource_arns(client, call, action):
            yield RequiredPermission(action, arn, {**shared, **context})


def allows(grant: Grant, need: RequiredPermission) -> bool:
    """Whether a grant covers a need, as IAM matches: `*` any text, `?` one character, conditions exactly."""
    pattern = re.escape(grant.arn).replace(r"\*", ".*").replace(r"\?", ".")
    return (
        grant.action == need.action
        and re.fullmatch(pattern, need.arn) is not None
        and all(need.context.get(key) == value for key, value in grant.conditions)
    )


def _request_tags(call: AwsCall) -> dict[str, str]:
    nested = call.params.get("TagSpecifications", [{}])[0].get("Tags", ())
    given = call.params.get("Tags") or call.params.get("tags") or nested
    if isinstance(given, Mapping):
        return {f"aws:RequestTag/{name}": value for name, value in given.items()}
    pairs = [(tag.get("Key", tag.get("key")), tag.get("Value", tag.get("value"))) for tag in given]
    return {f"aws:RequestTag/{name}": value for name, value in pairs}


def _resource_arns(client: Any, call: AwsCall, action: str) -> Iterator[tuple[str, Mapping[str, str]]]:
    service = action.partition(":")[0]
    if action in _ARN_RULES:
        yield from _ARN_RULES[action](call.params)
    elif service == "apigateway":
        yield from ((arn, {}) for arn in _apigateway(client, call, action))
    else:
        yield from ((arn, {}) for arn in _BY_SERVICE[service](call.params))


def _apigateway(client: Any, call: AwsCall, action: str) -> Iterator[str]:
    """API Gateway's ARNs are the paths of its REST API."""
    model = client.meta.service_model.operation_model(client.meta.method_to_api_mapping[call.operation])
    path = model.http["requestUri"].removeprefix("/v2")
    members = model.input_shape.members
    for name, shape in members.items():
        if shape.serialization.get("location") == "uri" and name in call.params:
            path = path.replace(
                "{" + shape.serialization.get("locationName", name) + "}", quote(str(call.params[name]), safe="$")
            )
    if model.http["method"] == action.partition(":")[2]:
        yield APIS + path
    if action == "apigateway:POST" and call.operation.startswith("create_") and call.params.get("Tags"):
        yield f"{APIS}/tags/{quote(APIS + path, safe='')}"


def _ecs(params: Mapping[str, Any]) -> Iterator[str]:
    cluster = params.get("cluster", "")
    services = [*params.get("services", ()), *filter(None, [params.get("service"), params.get("serviceName")])]
    if "resourceArn" in params:
        yield params["resourceArn"]
    elif "serviceRevisionArns" in params:
        yield from params["serviceRevisionArns"]
    elif "tasks" in params:
        yield from params["tasks"]
    elif "taskDefinitions" in params:
        yield from params["taskDefinitions"]
    elif "family" in params:
        yield f"arn:aws:ecs:{HERE}:task-definition/{params['family']}:1"
    elif services:
        yield from (f"arn:aws:ecs:{HERE}:service/{cluster}/{name}" for name in services)
    else:
        for name in params.get("clusters", [params.get("clusterName", cluster)]):
            yield f"arn:aws:ecs:{HERE}:cluster/{name}"


def _ecr(params: Mapping[str, Any]) -> Iterator[str]:
    if "resourceArn" in params:
        yield params["resourceArn"]
        return
    registry = params.get("registryId", "123456789012")
    image = params.get("InferenceSpecification", {}).get("Containers", [{}])[0].get("Image", "")
    if image:
        registry = image.partition(".")[0]
    names = params.get("repositoryNames") or [
        params.get("repositoryName") or image.rpartition("/")[2].partition(":")[0]
    ]
    yield from (f"arn:aws:ecr:us-east-1:{registry}:repository/{name}" for name in names)


def _s3(params: Mapping[str, Any]) -> Iterator[str]:
    model = params.get("InferenceSpecification", {}).get("Containers", [{}])[0].get("ModelDataUrl", "")
    if model:
        yield f"arn:aws:s3:::{model.removeprefix('s3://')}"
    else:
        yield f"arn:aws:s3:::{params['Bucket']}" + (f"/{params['Key']}" if "Key" in params else "")


def _sagemaker(params: Mapping[str, Any]) -> Iterator[str]:
    if "ModelPackageType" in params:
        yield f"arn:aws:sagemaker:{HERE}:model-package/*"
    elif "ResourceArn" in params:
        yield params["ResourceArn"]
    elif "TrainingJobName" in params:
        yield f"arn:aws:sagemaker:{HERE}:training-job/{params['TrainingJobName']}"
    elif "ModelPackageArn" in params or "ModelPackageName" in params:
        yield params.get("ModelPackageArn", params.get("ModelPackageName"))
    elif (
        "InferenceSpecification" in params
        or "SortBy" in params
        or set(params) <= {"ModelPackageGroupName", "NextToken"}
    ):
        group = params["ModelPackageGroupName"]
        yield f"arn:aws:sagemaker:{HERE}:model-package/{group}/1"


def _group(params: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, str]]]:
    yield f"arn:aws:sagemaker:{HERE}:model-package-group/{params['ModelPackageGroupName']}", {}


def _ec2(params: Mapping[str, Any]) -> Iterator[str]:
    for group in params.get("Resources", [params.get("GroupId", "sg-1")]):
        yield f"arn:aws:ec2:{HERE}:security-group/{group}"


def _logs(params: Mapping[str, Any]) -> Iterator[str]:
    plain = params.get("resourceArn") or f"arn:aws:logs:{HERE}:log-group:{params.get('logGroupName')}"
    yield from (plain, f"{plain}:*")


def _cloud_map(params: Mapping[str, Any]) -> Iterator[str]:
    of = (
        "namespace"
        if "ns-" in params.get("Id", params.get("OperationId", "")) or "OperationId" in params
        else "service"
    )
    yield f"arn:aws:servicediscovery:{HERE}:{of}/{params.get('Id', 'made')}"


ArnRule = Callable[[Mapping[str, Any]], Iterator[tuple[str, Mapping[str, str]]]]


def _any_resource(params: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, str]]]:
    del params
    yield "*", {}


def _pass_role(params: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, str]]]:
    for name, service in (("RoleArn", "sagemaker"), ("executionRoleArn", "ecs-tasks"), ("taskRoleArn", "ecs-tasks")):
        if name in params:
            yield params[name], {"iam:PassedToService": f"{service}.amazonaws.com"}


def _service_linked_role(params: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, str]]]:
    service, role = (
        ("ops.apigateway.amazonaws.com", "AWSServiceRoleForAPIGateway")
        if "SubnetIds" in params
        else ("ecs.amazonaws.com", "AWSServiceRoleForECS")
    )
    yield f"arn:aws:iam::123456789012:role/aws-service-role/{service}/{role}", {"iam:AWSServiceName": service}


def _list_tasks(params: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, str]]]:
    yield "*", {"ecs:cluster": f"arn:aws:ecs:{HERE}:cluster/{params['cluster']}"}


def _create_group(params: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, str]]]:
    # The tags are those of the group, so that the VPC is checked without them.
    yield f"arn:aws:ec2:{HERE}:vpc/{params['VpcId']}", {}
    yield f"arn:aws:ec2:{HERE}:security-group/sg-1", {}


def _create_tags(params: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, str]]]:
    made = {"ec2:CreateAction": "CreateSecurityGroup", "aws:ResourceTag/moorage:environment": ""}
    yield from ((arn, made if "GroupName" in params else {}) for arn in _ec2(params))


def _create_in_namespace(params: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, str]]]:
    yield f"arn:aws:servicediscovery:{HERE}:namespace/{params['NamespaceId']}", {}
    yield f"arn:aws:servicediscovery:{HERE}:service/srv-1", {"aws:ResourceTag/moorage:environment": ""}


def _imported(params: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, str]]]:
    # Only what a pull-through cache has not got yet is fetched from upstream, into a repository that is made for it.
    yield from ((arn, {}) for arn in _ecr(params) if "/ecr-public/" in arn or "imageIds" not in params)


def _repository_key(params: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, str]]]:
    key = params["encryptionConfiguration"].get("kmsKey")
    yield from [(key, {})] if key else []


def _bucket(params: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, str]]]:
    yield f"arn:aws:s3:::{params['Bucket']}", {}


_UNSCOPED = (
    "ec2:DescribeRegions",
    "ec2:DescribeSecurityGroups",
    "ec2:DescribeSubnets",
    "ec2:DescribeVpcs",
    "ecs:DeregisterTaskDefinition",
    "ecs:DescribeTaskDefinition",
    "ecs:ListTaskDefinitions",
    "iam:GetAccountAuthorizationDetails",
    "logs:DescribeLogGroups",
    "route53:CreateHostedZone",
    "route53:ListHostedZonesByName",
    "sagemaker:ListModelPackageGroups",
    "sagemaker:Search",
    "servicediscovery:CreatePrivateDnsNamespace",
    "servicediscovery:ListNamespaces",
    "servicediscovery:ListServices",
    "servicediscovery:ListTagsForResource",
    "servicediscovery:TagResource",
    "servicediscovery:UntagResource",
    "tag:GetResources",
)
_ARN_RULES: Mapping[str, ArnRule] = {
    **dict.fromkeys(_UNSCOPED, _any_resource),
    "iam:PassRole": _pass_role,
    "iam:CreateServiceLinkedRole": _service_linked_role,
    "ecs:ListTasks": _list_tasks,
    "ec2:CreateSecurityGroup": _create_group,
    "ec2:CreateTags": _create_tags,
    "ecr:BatchImportUpstreamImage": _imported,
    "ecr:CreateRepository": _imported,
    "s3:ListBucket": _bucket,
    **dict.fromkeys(("kms:CreateGrant", "kms:DescribeKey", "kms:RetireGrant"), _repository_key),
    "servicediscovery:CreateService": _create_in_namespace,
    **dict.fromkeys(
        (
            "sagemaker:CreateModelPackageGroup",
            "sagemaker:DescribeModelPackageGroup",
            "sagemaker:DeleteModelPackageGroup",
        ),
        _group,
    ),
    "sagemaker:AddTags": lambda params: ((arn, {}) for arn in [*_sagemaker(params)][:1] or [next(_group(params))[0]]),
}
_BY_SERVICE = ConformanceTable[Callable[[Mapping[str, Any]], Iterator[str]]](
    "_BY_SERVICE",
    "tests/conformance/iam_authorization.py",
    "a function from the parameters of a service's call to the ARNs that IAM checks",
    {
        "ecs": _ecs,
        "ecr": _ecr,
        "s3": _s3,
        "sagemaker": _sagemaker,
        "ec2": _ec2,
        "logs": _logs,
        "kms": lambda params: iter([params["KeyId"]]),
        "servicediscovery": _cloud_map,
        "iam": lambda params: iter([f"arn:aws:iam::123456789012:role/{params['RoleName']}"]),
        "route53": lambda params: iter([f"arn:aws:route53:::hostedzone/{params.get('Id', 'Z1')}"]),
    },
)
