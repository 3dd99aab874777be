"""What AWS's own models say a value may be: lengths, ranges, patterns, enumerations. boto3 itself checks
only a part.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from controller.aws import AwsCall

# Limits that the models leave out: parameter → characters.
UNMODELED_CONSTRAINTS = {
    # https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html
    ("s3.create_bucket", "Bucket"): 63,
    # https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_CreateSecurityGroup.html
    ("ec2.create_security_group", "GroupName"): 255,
    ("ec2.create_security_group", "Description"): 255,
    # https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_CreateCluster.html, API_CreateService.html,
    # API_RegisterTaskDefinition.html
    ("ecs.create_cluster", "clusterName"): 255,
    ("ecs.create_service", "serviceName"): 255,
    ("ecs.create_service", "clientToken"): 36,
    ("ecs.register_task_definition", "family"): 255,
    # https://docs.aws.amazon.com/apigatewayv2/latest/api-reference/apis.html, vpclinks.html
    ("apigatewayv2.create_api", "Name"): 128,
    ("apigatewayv2.create_vpc_link", "Name"): 128,
    # https://docs.aws.amazon.com/AmazonECR/latest/userguide/ecr_on_resource_tags.html, image tags
    ("ecr.put_image", "imageTag"): 300,
}


def constraint_violations(client: Any, call: AwsCall) -> list[str]:
    """Every value of a call that AWS would refuse for its length, range, form or choice."""
    operation = client.meta.method_to_api_mapping[call.operation]
    shape = client.meta.service_model.operation_model(operation).input_shape
    found = [] if shape is None else list(_problems(shape, call.params, ""))
    for (name, parameter), limit in UNMODELED_CONSTRAINTS.items():
        value = str(call.params.get(parameter, ""))
        if name == call.name and len(value) > limit:
            found.append(f"{parameter} has {len(value)} characters of {limit}")
    return found


def _problems(shape: Any, value: Any, path: str) -> Iterator[str]:
    if shape.type_name == "structure":
        for name in value.keys() & shape.members.keys():
            yield from _problems(shape.members[name], value[name], f"{path}.{name}".lstrip("."))
        return
    yield from _violated_rules(shape.metadata, value, path)
    if shape.type_name == "list":
        for item in value:
            yield from _problems(shape.member, item, f"{path}[]")
    elif shape.type_name == "map":
        for key, item in value.items():
            yield from _problems(shape.key, key, f"{path}.key")
            yield from _problems(shape.value, item, f"{path}.{key}")


def _violated_rules(rules: Mapping[str, Any], value: Any, path: str) -> Iterator[str]:
    if isinstance(value, str | list | dict | int | float) and not isinstance(value, bool):
        size = len(value) if isinstance(value, str | list | dict) else value
        if size > rules.get("max", size) or size < rules.get("min", size):
            yield f"{path} is {size}, outside of {rules.get('min', 0)} to {rules.get('max')}"
    if isinstance(value, str):
        if rules.get("enum") and value not in rules["enum"]:
            yield f"{path} is {value}, none of {rules['enum']}"
        if "pattern" in rules and not _fits(rules["pattern"], value):
            yield f"{path} is {value!r}, which doesn't match {rules['pattern']}"


def _fits(pattern: str, value: str) -> bool:
    try:
        return re.fullmatch(pattern, value, re.DOTALL) is not None
    except re.error:  # in Java's own dialect
        return True
