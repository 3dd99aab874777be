"""The tags of many objects, of whatever services, from one index: Resource Groups Tagging."""

from __future__ import annotations

from collections.abc import Sequence

from controller.aws.door import Aws

# https://docs.aws.amazon.com/resourcegroupstagging/latest/APIReference/API_GetResources.html, ResourceARNList
_MOST = 100


def tags_by_arn(aws: Aws, arns: Sequence[str]) -> dict[str, dict[str, str]]:
    """The tags of each object that the index knows. It is told of changes by the services, so it may lag behind them."""
    found: dict[str, dict[str, str]] = {}
    for start in range(0, len(arns), _MOST):
        some = list(arns[start : start + _MOST])
        listed = aws.pages("resourcegroupstaggingapi", "get_resources", "ResourceTagMappingList", ResourceARNList=some)
        found |= {item["ResourceARN"]: {tag["Key"]: tag["Value"] for tag in item["Tags"]} for item in listed}
    return found
