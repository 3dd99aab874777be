"""Resource Groups Tagging where moto knows too little: GetResources by ARN, for every service whose tags are kept here.

Other questions than by ARN go to moto, which doesn't know ECR, IAM, API Gateway and Cloud Map.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from moto.ecr.models import ecr_backends
from moto.logs.models import logs_backends
from moto.sagemaker.models import sagemaker_backends
from moto.servicediscovery.models import servicediscovery_backends

from embedded_aws.call import Answer, Call, Refused
from embedded_aws.world import World

_MOST = 100
_NOT_BESIDE_ARNS = ("ResourceTypeFilters", "TagFilters", "ResourcesPerPage", "TagsPerPage", "PaginationToken")


def install(world: World) -> None:
    """Register the operation."""
    world.handle("resourcegroupstaggingapi", "GetResources", get_resources)


def get_resources(call: Call) -> Answer | dict[str, Any]:
    """Tell the tags of the resources that are named. One that isn't there, or has no tags, is left out.

    https://docs.aws.amazon.com/resourcegroupstagging/latest/APIReference/API_GetResources.html
    """
    arns = call.params.get("ResourceARNList")
    if not arns:
        return call.forward()
    if len(arns) > _MOST:
        raise Refused("InvalidParameterException", f"ResourceARNList has {len(arns)} ARNs; {_MOST} are allowed.")
    if beside := [name for name in _NOT_BESIDE_ARNS if call.params.get(name)]:
        message = f"You can't specify both ResourceARNList and {' or '.join(beside)} in the same request."
        raise Refused("InvalidParameterException", message)
    found = ((arn, _tags(call, arn)) for arn in arns)
    told = [
        {"ResourceARN": arn, "Tags": [{"Key": key, "Value": value} for key, value in tags.items()]}
        for arn, tags in found
        if tags
    ]
    return {"PaginationToken": "", "ResourceTagMappingList": told}


def _tags(call: Call, arn: str) -> Mapping[str, str]:
    service, region = arn.split(":")[2:4]
    if service not in _SERVICES:
        raise Refused("NotImplemented", f"The embedded AWS doesn't know the tags of {service} by ARN", status=501)
    return _SERVICES[service](call.account, region, arn)


def _ecr(account: str, region: str, arn: str) -> Mapping[str, str]:
    tags: Mapping[str, str] = ecr_backends[account][region].tagger.get_tag_dict_for_resource(arn)
    return tags


def _logs(account: str, region: str, arn: str) -> Mapping[str, str]:
    tags: Mapping[str, str] = logs_backends[account][region].tagger.get_tag_dict_for_resource(arn)
    return tags


def _cloud_map(account: str, region: str, arn: str) -> Mapping[str, str]:
    tags: Mapping[str, str] = servicediscovery_backends[account][region].tagger.get_tag_dict_for_resource(arn)
    return tags


def _sagemaker(account: str, region: str, arn: str) -> Mapping[str, str]:
    try:
        resource = sagemaker_backends[account][region]._get_resource_from_arn(arn)  # noqa: SLF001  (the only way to moto's record)
    except Exception:  # noqa: BLE001  (moto refuses, in several ways, what isn't there)
        return {}
    return {tag["Key"]: tag["Value"] for tag in (resource.tags if resource else None) or ()}


_SERVICES: Mapping[str, Callable[[str, str, str], Mapping[str, str]]] = {
    "ecr": _ecr,
    "logs": _logs,
    "sagemaker": _sagemaker,
    "servicediscovery": _cloud_map,
}
