"""The tags of many objects, of any service, from one index: Resource Groups Tagging."""

from __future__ import annotations

from collections.abc import Sequence

from controller.aws.aws_client import AwsClient

# https://docs.aws.amazon.com/resourcegroupstagging/latest/APIReference/API_GetResources.html, ResourceARNList
_BATCH_SIZE = 100


def fetch_tags_by_arn(aws: AwsClient, arns: Sequence[str]) -> dict[str, dict[str, str]]:
    """Return the tags of each object that the index knows. The services report changes to it, so it may lag behind.

    A call that names ARNs can't continue on a second page; an object that the first page omits counts as unknown.
    """
    found: dict[str, dict[str, str]] = {}
    for start in range(0, len(arns), _BATCH_SIZE):
        some = list(arns[start : start + _BATCH_SIZE])
        answer = aws.read("resourcegroupstaggingapi", "get_resources", ResourceARNList=some)
        listed = answer.get("ResourceTagMappingList", ())
        found |= {item["ResourceARN"]: {tag["Key"]: tag["Value"] for tag in item["Tags"]} for item in listed}
    return found
