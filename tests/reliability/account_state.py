"""All that is in an AWS account, in a form in which two accounts that came about differently can be compared."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from controller.aws import AwsClient
from controller.errors import MissingError
from tests.reliability.crash_injection import GENERATED_IDS

AccountState = dict[str, list[Any]]
_IDS = {"ApiId", "IntegrationId", "VpcLinkId", "GroupId", "Id"}


def list_objects(aws: AwsClient) -> AccountState:
    """Every object that a reconciler could have made, by type."""
    parts = (_apis, _network, _storage, _roles, _registry, _images, _tasks)
    return {name: items for part in parts for name, items in part(aws)}


def normalized_state(aws: AwsClient) -> AccountState:
    """Everything, with what AWS makes up masked: the same thing by the same mask."""
    listed = list_objects(aws)
    text = json.dumps(listed, sort_keys=True, default=str)
    for number, made_up in enumerate(_generated_ids(listed)):
        text = re.sub(rf"\b{made_up}\b", f"<{number}>", text)
    masked: AccountState = json.loads(text)
    return masked


def _generated_ids(item: Any) -> Iterator[str]:
    """What AWS made up, in the order of the listing."""
    children: Iterable[Any] = item if isinstance(item, list | tuple) else ()
    if isinstance(item, Mapping):
        yield from (value for name, value in item.items() if name in _IDS)
        children = item.values()
    for child in children:
        yield from _generated_ids(child)


def _pick(item: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return {name: item.get(name) for name in names}


def _sorted(items: Iterator[Any] | list[Any]) -> list[Any]:
    """In an order that doesn't depend on what AWS made up."""
    return sorted(
        items, key=lambda item: GENERATED_IDS.sub("*", json.dumps(_without_ids(item), sort_keys=True, default=str))
    )


def _without_ids(item: Any) -> Any:
    if isinstance(item, Mapping):
        return {name: _without_ids(child) for name, child in item.items() if name not in _IDS | {"ConnectionId"}}
    return [_without_ids(child) for child in item] if isinstance(item, list | tuple) else item


def _apis(aws: AwsClient) -> Iterator[tuple[str, list[Any]]]:
    apis = list(aws.iter_items("apigatewayv2", "get_apis", "Items"))
    yield "apis", _sorted([_pick(api, "Name", "ApiId", "CorsConfiguration", "Tags") for api in apis])
    for name, fields in {
        "integrations": ("IntegrationId", "IntegrationUri", "ConnectionId", "RequestParameters", "Description"),
        "routes": ("RouteKey", "Target", "AuthorizationType"),
        "stages": ("StageName", "AutoDeploy", "DefaultRouteSettings", "Tags"),
    }.items():
        found = [
            (api["Name"], _pick(item, *fields))
            for api in apis
            for item in aws.iter_items("apigatewayv2", f"get_{name}", "Items", ApiId=api["ApiId"])
        ]
        yield name, _sorted(found)
    links = aws.iter_items("apigatewayv2", "get_vpc_links", "Items")
    fields = ("Name", "VpcLinkId", "VpcLinkStatus", "SecurityGroupIds", "Tags")
    yield "links", _sorted([_pick(link, *fields) for link in links if link["VpcLinkStatus"] != "DELETING"])
    spaces = list(aws.iter_items("servicediscovery", "list_namespaces", "Namespaces"))
    yield "namespaces", _sorted([_pick(space, "Name", "Id") for space in spaces])
    services = list(aws.iter_items("servicediscovery", "list_services", "Services"))
    yield "discovery", _sorted([_pick(item, "Name", "Id", "DnsConfig", "InstanceCount") for item in services])


def _network(aws: AwsClient) -> Iterator[tuple[str, list[Any]]]:
    groups = aws.iter_items("ec2", "describe_security_groups", "SecurityGroups")
    fields = ("GroupName", "GroupId", "IpPermissions", "Tags")
    yield "groups", _sorted([_pick(group, *fields) for group in groups if group["GroupName"] != "default"])


def _storage(aws: AwsClient) -> Iterator[tuple[str, list[Any]]]:
    buckets = [bucket["Name"] for bucket in aws.read("s3", "list_buckets")["Buckets"]]
    yield (
        "buckets",
        [
            [name, aws.read("s3", "get_bucket_versioning", Bucket=name).get("Status"), _policy(aws, name)]
            for name in buckets
        ],
    )
    yield (
        "objects",
        [
            # An archive holds the time at which it was packed.
            [item["Key"], "" if item["Key"].endswith(".tar.gz") else item["ETag"]]
            for name in buckets
            for item in aws.iter_items("s3", "list_objects_v2", "Contents", Bucket=name)
        ],
    )
    # SageMaker makes its own when a job writes.
    groups = aws.iter_items("logs", "describe_log_groups", "logGroups", logGroupNamePrefix="/moorage")
    yield "logs", _sorted([_pick(group, "logGroupName", "retentionInDays") for group in groups])


def _policy(aws: AwsClient, bucket: str) -> str:
    try:
        return str(aws.read("s3", "get_bucket_policy", Bucket=bucket)["Policy"])
    except MissingError:
        return ""


def _roles(aws: AwsClient) -> Iterator[tuple[str, list[Any]]]:
    roles = [role for role in aws.iter_items("iam", "list_roles", "Roles") if role["RoleName"].startswith("moorage")]
    yield (
        "roles",
        _sorted(
            [
                [
                    role["RoleName"],
                    role["AssumeRolePolicyDocument"],
                    [
                        aws.read("iam", "get_role_policy", RoleName=role["RoleName"], PolicyName=name)["PolicyDocument"]
                        for name in aws.iter_items(
                            "iam", "list_role_policies", "PolicyNames", RoleName=role["RoleName"]
                        )
                    ],
                ]
                for role in roles
            ]
        ),
    )


def _registry(aws: AwsClient) -> Iterator[tuple[str, list[Any]]]:
    jobs = aws.iter_items("sagemaker", "list_training_jobs", "TrainingJobSummaries")
    yield "jobs", _sorted([_pick(job, "TrainingJobName", "TrainingJobStatus") for job in jobs])
    names = [
        group["ModelPackageGroupName"]
        for group in aws.iter_items("sagemaker", "list_model_package_groups", "ModelPackageGroupSummaryList")
    ]
    yield "model groups", sorted(names)
    packages = [
        aws.read("sagemaker", "describe_model_package", ModelPackageName=item["ModelPackageArn"])
        for name in names
        for item in aws.iter_items(
            "sagemaker", "list_model_packages", "ModelPackageSummaryList", ModelPackageGroupName=name
        )
    ]
    fields = ("ModelPackageArn", "ModelApprovalStatus", "ModelPackageDescription", "CustomerMetadataProperties")
    yield "versions", _sorted([_pick(package, *fields) for package in packages])


def _images(aws: AwsClient) -> Iterator[tuple[str, list[Any]]]:
    found = [item["repositoryName"] for item in aws.iter_items("ecr", "describe_repositories", "repositories")]
    names = [name for name in found if name.startswith("moorage")]
    yield "repositories", sorted(names)
    yield (
        "images",
        _sorted(
            [
                [name, image.get("imageTags"), image["imageDigest"]]
                for name in names
                for image in aws.iter_items("ecr", "describe_images", "imageDetails", repositoryName=name)
            ]
        ),
    )


def _tasks(aws: AwsClient) -> Iterator[tuple[str, list[Any]]]:
    clusters = list(aws.iter_items("ecs", "list_clusters", "clusterArns"))
    yield "clusters", clusters
    services = [
        service
        for cluster in clusters
        for arn in aws.iter_items("ecs", "list_services", "serviceArns", cluster=cluster)
        for service in aws.read("ecs", "describe_services", cluster=cluster, services=[arn])["services"]
    ]
    fields = ("serviceName", "status", "taskDefinition", "desiredCount", "runningCount", "pendingCount")
    yield "services", _sorted([_pick(service, *fields) for service in services])
    for status in ("ACTIVE", "INACTIVE"):
        yield (
            f"{status} definitions",
            list(aws.iter_items("ecs", "list_task_definitions", "taskDefinitionArns", status=status)),
        )
    described = [
        aws.read("ecs", "describe_task_definition", taskDefinition=arn)["taskDefinition"]["containerDefinitions"]
        for arn in aws.iter_items("ecs", "list_task_definitions", "taskDefinitionArns", status="ACTIVE")
    ]
    yield "containers", described
