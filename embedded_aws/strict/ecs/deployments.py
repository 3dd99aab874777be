"""Service deployments and revisions: what was rolled out, and how it ended.

Sources: ECS API reference, ListServiceDeployments, DescribeServiceDeployments, DescribeServiceRevisions.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from moto.ecs.models import ecs_backends

from embedded_aws.call import Call
from embedded_aws.strict.ecs import find
from embedded_aws.strict.ecs.find import invalid
from embedded_aws.tasks.describe import revision_of, service_deployment_brief, service_deployment_of
from embedded_aws.tasks.fleet import Fleet
from embedded_aws.tasks.model import Deployment, Revision, Service
from embedded_aws.world import World


def register(world: World, fleet: Fleet) -> None:
    """Add the operations; moto has none of them."""
    world.handle("ecs", "ListServiceDeployments", lambda call: _list(call, fleet))
    world.handle("ecs", "DescribeServiceDeployments", lambda call: _describe(call, fleet))
    world.handle("ecs", "DescribeServiceRevisions", lambda call: _revisions(call, fleet))


def _list(call: Call, fleet: Fleet) -> Mapping[str, Any]:
    """List a service's deployments, newest first; `status` filters."""
    service, statuses = find.service(call, fleet), call.params.get("status") or []
    shown = [
        service_deployment_brief(service, deployment)
        for deployment in service.history
        if not statuses or deployment.outcome in statuses
    ]
    return find.page(call, "serviceDeployments", shown)


def _describe(call: Call, fleet: Fleet) -> Mapping[str, Any]:
    wanted = call.params["serviceDeploymentArns"]
    if not 1 <= len(wanted) <= 20:
        raise invalid("Specify 1 to 20 service deployments.")
    known = {deployment.arn: (service, deployment) for service, deployment in _all(fleet)}
    return {
        "serviceDeployments": [service_deployment_of(*known[arn]) for arn in wanted if arn in known],
        "failures": [find.missing(arn) for arn in wanted if arn not in known],
    }


def _revisions(call: Call, fleet: Fleet) -> Mapping[str, Any]:
    wanted = call.params["serviceRevisionArns"]
    if not 1 <= len(wanted) <= 20:
        raise invalid("Specify 1 to 20 service revisions.")
    known = {deployment.revision.arn: (service, deployment.revision) for service, deployment in _all(fleet)}
    return {
        "serviceRevisions": [revision_of(*known[arn], _images(known[arn][1], call)) for arn in wanted if arn in known],
        "failures": [find.missing(arn) for arn in wanted if arn not in known],
    }


def _all(fleet: Fleet) -> Iterator[tuple[Service, Deployment]]:
    for service in fleet.services.values():
        for deployment in service.history:
            yield service, deployment


def _images(revision: Revision, call: Call) -> list[dict[str, Any]]:
    """Return the images with the digests they are pinned to."""
    backend = ecs_backends[call.account][call.region]
    containers = backend.describe_task_definition(revision.task_definition).container_definitions
    images = []
    for container in containers:
        image = {"containerName": container["name"], "image": container["image"]}
        digest = container["image"].partition("@")[2]
        images.append(image | ({"imageDigest": digest} if digest else {}))
    return images
