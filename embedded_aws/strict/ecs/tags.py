"""Tags of tasks and services. moto keeps those of clusters and task definitions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from embedded_aws.api_call import ApiCall, ApiResponse
from embedded_aws.emulator import Emulator
from embedded_aws.strict.ecs.lookup import invalid_parameter
from embedded_aws.tasks.scheduler import ServiceScheduler
from embedded_aws.tasks.state import EcsService, EcsTask


def install(emulator: Emulator, scheduler: ServiceScheduler) -> None:
    """Register the handlers of the tag operations."""
    emulator.register_handler("ecs", "ListTagsForResource", lambda call: _list_tags(call, scheduler))
    emulator.register_handler("ecs", "TagResource", lambda call: _tag_resource(call, scheduler))
    emulator.register_handler("ecs", "UntagResource", lambda call: _untag_resource(call, scheduler))


def _find_resource(call: ApiCall, scheduler: ServiceScheduler) -> EcsService | EcsTask | None:
    """Return the service or task. Return None when the resource is of another type."""
    arn = call.params["resourceArn"]
    resource = scheduler.services.get(arn) or scheduler.tasks.get(arn)
    if resource is None and (":service/" in arn or ":task/" in arn):
        raise invalid_parameter("The specified resource could not be found.")
    return resource


def _list_tags(call: ApiCall, scheduler: ServiceScheduler) -> Mapping[str, Any] | ApiResponse:
    resource = _find_resource(call, scheduler)
    return {"tags": resource.tags} if resource else call.forward_to_moto()


def _tag_resource(call: ApiCall, scheduler: ServiceScheduler) -> Mapping[str, Any] | ApiResponse:
    resource = _find_resource(call, scheduler)
    if resource is None:
        return call.forward_to_moto()
    merged = {tag["key"]: tag for tag in (*resource.tags, *call.params["tags"])}
    resource.tags = list(merged.values())
    return {}


def _untag_resource(call: ApiCall, scheduler: ServiceScheduler) -> Mapping[str, Any] | ApiResponse:
    resource = _find_resource(call, scheduler)
    if resource is None:
        return call.forward_to_moto()
    resource.tags = [tag for tag in resource.tags if tag["key"] not in call.params["tagKeys"]]
    return {}
