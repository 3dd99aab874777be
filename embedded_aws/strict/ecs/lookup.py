"""Look up the resources that an ECS call names, and build the errors of missing ones. Messages are the ECS API's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from moto.ecs.models import ecs_backends

from embedded_aws.api_call import ApiCall, ApiError
from embedded_aws.strict import paging
from embedded_aws.tasks.scheduler import ServiceScheduler
from embedded_aws.tasks.state import EcsService


def invalid_parameter(message: str) -> ApiError:
    """Return an InvalidParameterException."""
    return ApiError("InvalidParameterException", message)


def client_exception(message: str) -> ApiError:
    """Return a ClientException, which ECS uses for task definitions."""
    return ApiError("ClientException", message)


def get_cluster_name(call: ApiCall) -> str:
    """Return the name of the call's cluster, `default` if none is named. Raises ClusterNotFoundException."""
    name = str(call.params.get("cluster") or "default").rsplit("/", 1)[-1]
    cluster = ecs_backends[call.account][call.region].clusters.get(name)
    if cluster is None or cluster.status != "ACTIVE":
        raise ApiError("ClusterNotFoundException", "Cluster not found.")
    return name


def build_service_arn(call: ApiCall, cluster: str, reference: str) -> str:
    """Return the ARN of a service given by name or ARN."""
    name = reference.rsplit("/", 1)[-1]
    return f"arn:aws:ecs:{call.region}:{call.account}:service/{cluster}/{name}"


def get_service(call: ApiCall, scheduler: ServiceScheduler) -> EcsService:
    """Return the call's service. Raises ClusterNotFoundException and ServiceNotFoundException."""
    service = scheduler.services.get(build_service_arn(call, get_cluster_name(call), call.params["service"]))
    if service is None:
        raise ApiError("ServiceNotFoundException", "Service not found.")
    return service


def get_task_definition(call: ApiCall, reference: str) -> Any:
    """Return moto's task definition: an exact revision, or the newest ACTIVE one of a family.

    Raises ClientException.
    """
    family, _, revision = reference.rsplit("/", 1)[-1].partition(":")
    revisions: Mapping[int, Any] = ecs_backends[call.account][call.region].task_definitions.get(family, {})
    if revision:
        task_definition = revisions.get(int(revision)) if revision.isdigit() else None
    else:
        task_definition = next((d for _, d in sorted(revisions.items(), reverse=True) if d.status == "ACTIVE"), None)
    if task_definition is None:
        raise client_exception("Unable to describe task definition.")
    return task_definition


def list_page(call: ApiCall, key: str, items: Sequence[Any]) -> dict[str, Any]:
    """Return the requested page; ECS lists a hundred items at a time by default."""
    names = {"size_parameter": "maxResults", "token_parameter": "nextToken"}
    return paging.build_page(items, call.params, key, 100, error_code="InvalidParameterException", **names)


def build_failure(arn: str) -> dict[str, str]:
    """Return the failure entry of the Describe calls."""
    return {"arn": arn, "reason": "MISSING"}
