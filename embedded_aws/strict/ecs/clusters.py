"""ECS clusters: created once, with true counts, deleted only when empty. moto keeps them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from moto.ecs.models import ecs_backends

from embedded_aws.api_call import ApiCall, ApiError, ApiResponse
from embedded_aws.emulator import Emulator
from embedded_aws.strict.ecs import lookup
from embedded_aws.tasks.scheduler import ServiceScheduler


def install(emulator: Emulator, scheduler: ServiceScheduler) -> None:
    """Register the handlers of the cluster operations."""
    emulator.register_handler("ecs", "CreateCluster", lambda call: _create_cluster(call, scheduler))
    emulator.register_handler("ecs", "DescribeClusters", lambda call: _describe_clusters(call, scheduler))
    emulator.register_handler("ecs", "ListClusters", _list_clusters)
    emulator.register_handler("ecs", "DeleteCluster", lambda call: _delete_cluster(call, scheduler))


def _create_cluster(call: ApiCall, scheduler: ServiceScheduler) -> ApiResponse:
    """Create a cluster.

    An active cluster of the same name is returned unchanged: ECS creates a cluster once, whatever the later request
    contains.
    """
    name = call.params.get("clusterName") or "default"
    existing = ecs_backends[call.account][call.region].clusters.get(name)
    if existing is not None and existing.status == "ACTIVE":
        return call.build_response({"cluster": _describe_cluster(existing, scheduler, tags=True)})
    return call.forward_to_moto()


def _describe_clusters(call: ApiCall, scheduler: ServiceScheduler) -> Mapping[str, Any]:
    known = ecs_backends[call.account][call.region].clusters
    found: dict[str, list[Any]] = {"clusters": [], "failures": []}
    tags = "TAGS" in call.params.get("include", [])
    for reference in call.params.get("clusters") or ["default"]:
        name = reference.rsplit("/", 1)[-1]
        if name in known:
            found["clusters"].append(_describe_cluster(known[name], scheduler, tags=tags))
        else:
            found["failures"].append(lookup.build_failure(f"arn:aws:ecs:{call.region}:{call.account}:cluster/{name}"))
    return found


def _list_clusters(call: ApiCall) -> Mapping[str, Any]:
    clusters = ecs_backends[call.account][call.region].clusters.values()
    return lookup.list_page(call, "clusterArns", [c.arn for c in clusters if c.status == "ACTIVE"])


def _delete_cluster(call: ApiCall, scheduler: ServiceScheduler) -> Mapping[str, Any]:
    """Make the cluster INACTIVE. Refuse while it has services or tasks (DeleteCluster's errors)."""
    name = lookup.get_cluster_name(call)
    cluster = ecs_backends[call.account][call.region].clusters[name]
    if any(
        service.status != "INACTIVE" and service.cluster_arn == cluster.arn for service in scheduler.services.values()
    ):
        raise ApiError(
            "ClusterContainsServicesException", "The Cluster cannot be deleted while Services are active or draining."
        )
    counts = _count_members(cluster, scheduler)
    if counts["runningTasksCount"] or counts["pendingTasksCount"]:
        raise ApiError("ClusterContainsTasksException", "The Cluster cannot be deleted while Tasks are active.")
    cluster.status = "INACTIVE"
    return {"cluster": _describe_cluster(cluster, scheduler, tags=True)}


def _describe_cluster(cluster: Any, scheduler: ServiceScheduler, *, tags: bool) -> dict[str, Any]:
    shown = {
        "clusterArn": cluster.arn,
        "clusterName": cluster.name,
        "status": cluster.status,
        "registeredContainerInstancesCount": 0,
        **_count_members(cluster, scheduler),
        "statistics": [],
        "settings": cluster.settings,
        "configuration": cluster.configuration,
        "capacityProviders": cluster.capacity_providers or [],
        "defaultCapacityProviderStrategy": cluster.default_capacity_provider_strategy or [],
        "serviceConnectDefaults": cluster.service_connect_defaults,
        "tags": (cluster.tags or []) if tags else None,
    }
    return {name: value for name, value in shown.items() if value is not None}


def _count_members(cluster: Any, scheduler: ServiceScheduler) -> dict[str, int]:
    scope = (cluster.region_name, cluster.name)
    statuses = [task.status for task in scheduler.tasks.values() if (task.region, task.cluster) == scope]
    services = [s for s in scheduler.services.values() if s.status == "ACTIVE" and s.cluster_arn == cluster.arn]
    return {
        "runningTasksCount": statuses.count("RUNNING"),
        "pendingTasksCount": sum(status in {"PROVISIONING", "PENDING", "ACTIVATING"} for status in statuses),
        "activeServicesCount": len(services),
    }
