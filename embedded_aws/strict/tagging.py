"""Resource Groups Tagging: GetResources by ARN, for every service whose tags the embedded AWS keeps.

moto answers the other forms of GetResources; it doesn't know ECR, IAM, API Gateway and Cloud Map.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from moto.ecr.models import ecr_backends
from moto.logs.models import logs_backends
from moto.sagemaker.models import sagemaker_backends
from moto.servicediscovery.models import servicediscovery_backends

from embedded_aws.api_call import ApiCall, ApiError, ApiResponse
from embedded_aws.emulator import Emulator

_MAX_ARNS = 100
_EXCLUSIVE_PARAMETERS = ("ResourceTypeFilters", "TagFilters", "ResourcesPerPage", "TagsPerPage", "PaginationToken")


def install(emulator: Emulator) -> None:
    """Register the handler."""
    emulator.register_handler("resourcegroupstaggingapi", "GetResources", get_resources)


def get_resources(call: ApiCall) -> ApiResponse | dict[str, Any]:
    """Return the tags of the named resources. Resources that don't exist or have no tags are left out.

    https://docs.aws.amazon.com/resourcegroupstagging/latest/APIReference/API_GetResources.html
    """
    arns = call.params.get("ResourceARNList")
    if not arns:
        return call.forward_to_moto()
    if len(arns) > _MAX_ARNS:
        raise ApiError("InvalidParameterException", f"ResourceARNList has {len(arns)} ARNs; {_MAX_ARNS} are allowed.")
    if conflicting := [name for name in _EXCLUSIVE_PARAMETERS if call.params.get(name)]:
        message = f"You can't specify both ResourceARNList and {' or '.join(conflicting)} in the same request."
        raise ApiError("InvalidParameterException", message)
    found = ((arn, _read_tags(call, arn)) for arn in arns)
    mappings = [
        {"ResourceARN": arn, "Tags": [{"Key": key, "Value": value} for key, value in tags.items()]}
        for arn, tags in found
        if tags
    ]
    return {"PaginationToken": "", "ResourceTagMappingList": mappings}


def _read_tags(call: ApiCall, arn: str) -> Mapping[str, str]:
    service, region = arn.split(":")[2:4]
    if service not in _TAG_READERS:
        raise ApiError("NotImplemented", f"The embedded AWS doesn't know the tags of {service} by ARN", status=501)
    return _TAG_READERS[service](call.account, region, arn)


def _read_ecr_tags(account: str, region: str, arn: str) -> Mapping[str, str]:
    tags: Mapping[str, str] = ecr_backends[account][region].tagger.get_tag_dict_for_resource(arn)
    return tags


def _read_log_tags(account: str, region: str, arn: str) -> Mapping[str, str]:
    tags: Mapping[str, str] = logs_backends[account][region].tagger.get_tag_dict_for_resource(arn)
    return tags


def _read_cloud_map_tags(account: str, region: str, arn: str) -> Mapping[str, str]:
    tags: Mapping[str, str] = servicediscovery_backends[account][region].tagger.get_tag_dict_for_resource(arn)
    return tags


def _read_sagemaker_tags(account: str, region: str, arn: str) -> Mapping[str, str]:
    try:
        resource = sagemaker_backends[account][region]._get_resource_from_arn(arn)  # noqa: SLF001  (the only way to moto's record)
    except Exception:  # noqa: BLE001  (moto refuses, in several ways, what isn't there)
        return {}
    return {tag["Key"]: tag["Value"] for tag in (resource.tags if resource else None) or ()}


_TAG_READERS: Mapping[str, Callable[[str, str, str], Mapping[str, str]]] = {
    "ecr": _read_ecr_tags,
    "logs": _read_log_tags,
    "sagemaker": _read_sagemaker_tags,
    "servicediscovery": _read_cloud_map_tags,
}
