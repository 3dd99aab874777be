"""Finding what an ECS call names, and the refusals when it isn't there. Texts as the ECS API answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from moto.ecs.models import ecs_backends

from embedded_aws.call import Call, Refused
from embedded_aws.strict import paging
from embedded_aws.tasks.fleet import Fleet
from embedded_aws.tasks.model import Service


def invalid(message: str) -> Refused:
    """Return the refusal InvalidParameterException."""
    return Refused("InvalidParameterException", message)


def client_error(message: str) -> Refused:
    """Return the refusal ClientException, which ECS uses for task definitions."""
    return Refused("ClientException", message)


def cluster_name(call: Call) -> str:
    """Return the name of the cluster the call names, `default` if none. Refused: ClusterNotFoundException."""
    name = str(call.params.get("cluster") or "default").rsplit("/", 1)[-1]
    cluster = ecs_backends[call.account][call.region].clusters.get(name)
    if cluster is None or cluster.status != "ACTIVE":
        raise Refused("ClusterNotFoundException", "Cluster not found.")
    return name


def service_arn(call: Call, cluster: str, reference: str) -> str:
    """Return the ARN of a service named by name or ARN."""
    name = reference.rsplit("/", 1)[-1]
    return f"arn:aws:ecs:{call.region}:{call.account}:service/{cluster}/{name}"


def service(call: Call, fleet: Fleet) -> Service:
    """Return the service the call names. Refused: ClusterNotFoundException, ServiceNotFoundException."""
    found = fleet.services.get(service_arn(call, cluster_name(call), call.params["service"]))
    if found is None:
        raise Refused("ServiceNotFoundException", "Service not found.")
    return found


def definition(call: Call, reference: str) -> Any:
    """Return moto's task definition: an exact revision, or a family's newest ACTIVE one. Refused: ClientException."""
    family, _, revision = reference.rsplit("/", 1)[-1].partition(":")
    revisions: Mapping[int, Any] = ecs_backends[call.account][call.region].task_definitions.get(family, {})
    if revision:
        found = revisions.get(int(revision)) if revision.isdigit() else None
    else:
        found = next((d for _, d in sorted(revisions.items(), reverse=True) if d.status == "ACTIVE"), None)
    if found is None:
        raise client_error("Unable to describe task definition.")
    return found


def page(call: Call, key: str, items: Sequence[Any]) -> dict[str, Any]:
    """Return the page the call asks for; ECS lists a hundred at a time."""
    names = {"size": "maxResults", "token": "nextToken"}
    return paging.page(items, call.params, key, 100, refusal="InvalidParameterException", **names)


def missing(arn: str) -> dict[str, str]:
    """Return the failure entry of the Describe calls."""
    return {"arn": arn, "reason": "MISSING"}
