"""ECS clusters: created once, counted truly, deleted only when empty. Kept by moto."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from moto.ecs.models import ecs_backends

from embedded_aws.call import Answer, Call, Refused
from embedded_aws.strict.ecs import find
from embedded_aws.tasks.fleet import Fleet
from embedded_aws.world import World


def register(world: World, fleet: Fleet) -> None:
    """Take over the cluster operations."""
    world.handle("ecs", "CreateCluster", lambda call: _create(call, fleet))
    world.handle("ecs", "DescribeClusters", lambda call: _describe(call, fleet))
    world.handle("ecs", "ListClusters", _list)
    world.handle("ecs", "DeleteCluster", lambda call: _delete(call, fleet))


def _create(call: Call, fleet: Fleet) -> Answer:
    """Create; an active cluster of the name is returned as it is (ECS creates a cluster once, whatever is sent again)."""
    name = call.params.get("clusterName") or "default"
    existing = ecs_backends[call.account][call.region].clusters.get(name)
    if existing is not None and existing.status == "ACTIVE":
        return call.result({"cluster": _shown(existing, fleet, tags=True)})
    return call.forward()


def _describe(call: Call, fleet: Fleet) -> Mapping[str, Any]:
    known = ecs_backends[call.account][call.region].clusters
    found: dict[str, list[Any]] = {"clusters": [], "failures": []}
    tags = "TAGS" in call.params.get("include", [])
    for reference in call.params.get("clusters") or ["default"]:
        name = reference.rsplit("/", 1)[-1]
        if name in known:
            found["clusters"].append(_shown(known[name], fleet, tags=tags))
        else:
            found["failures"].append(find.missing(f"arn:aws:ecs:{call.region}:{call.account}:cluster/{name}"))
    return found


def _list(call: Call) -> Mapping[str, Any]:
    clusters = ecs_backends[call.account][call.region].clusters.values()
    return find.page(call, "clusterArns", [c.arn for c in clusters if c.status == "ACTIVE"])


def _delete(call: Call, fleet: Fleet) -> Mapping[str, Any]:
    """Make the cluster INACTIVE; refused while it has services or tasks (DeleteCluster's errors)."""
    name = find.cluster_name(call)
    cluster = ecs_backends[call.account][call.region].clusters[name]
    if any(service.status != "INACTIVE" and service.cluster_arn == cluster.arn for service in fleet.services.values()):
        raise Refused(
            "ClusterContainsServicesException", "The Cluster cannot be deleted while Services are active or draining."
        )
    counts = _counts(cluster, fleet)
    if counts["runningTasksCount"] or counts["pendingTasksCount"]:
        raise Refused("ClusterContainsTasksException", "The Cluster cannot be deleted while Tasks are active.")
    cluster.status = "INACTIVE"
    return {"cluster": _shown(cluster, fleet, tags=True)}


def _shown(cluster: Any, fleet: Fleet, *, tags: bool) -> dict[str, Any]:
    shown = {
        "clusterArn": cluster.arn,
        "clusterName": cluster.name,
        "status": cluster.status,
        "registeredContainerInstancesCount": 0,
        **_counts(cluster, fleet),
        "statistics": [],
        "settings": cluster.settings,
        "configuration": cluster.configuration,
        "capacityProviders": cluster.capacity_providers or [],
        "defaultCapacityProviderStrategy": cluster.default_capacity_provider_strategy or [],
        "serviceConnectDefaults": cluster.service_connect_defaults,
        "tags": (cluster.tags or []) if tags else None,
    }
    return {name: value for name, value in shown.items() if value is not None}


def _counts(cluster: Any, fleet: Fleet) -> dict[str, int]:
    place = (cluster.region_name, cluster.name)
    statuses = [task.status for task in fleet.tasks.values() if (task.region, task.cluster) == place]
    services = [s for s in fleet.services.values() if s.status == "ACTIVE" and s.cluster_arn == cluster.arn]
    return {
        "runningTasksCount": statuses.count("RUNNING"),
        "pendingTasksCount": sum(status in {"PROVISIONING", "PENDING", "ACTIVATING"} for status in statuses),
        "activeServicesCount": len(services),
    }
