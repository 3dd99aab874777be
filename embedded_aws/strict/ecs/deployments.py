"""Service deployments and revisions: what was rolled out, and how it ended.

Sources: ECS API reference, ListServiceDeployments, DescribeServiceDeployments, DescribeServiceRevisions.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from moto.ecs.models import ecs_backends

from embedded_aws.api_call import ApiCall
from embedded_aws.emulator import Emulator
from embedded_aws.strict.ecs import lookup
from embedded_aws.strict.ecs.lookup import invalid_parameter
from embedded_aws.tasks.describe import describe_revision, describe_service_deployment, summarize_service_deployment
from embedded_aws.tasks.scheduler import ServiceScheduler
from embedded_aws.tasks.state import EcsDeployment, EcsService, ServiceRevision


def install(emulator: Emulator, scheduler: ServiceScheduler) -> None:
    """Add the operations; moto has none of them."""
    emulator.register_handler("ecs", "ListServiceDeployments", lambda call: _list_service_deployments(call, scheduler))
    emulator.register_handler(
        "ecs", "DescribeServiceDeployments", lambda call: _describe_service_deployments(call, scheduler)
    )
    emulator.register_handler(
        "ecs", "DescribeServiceRevisions", lambda call: _describe_service_revisions(call, scheduler)
    )


def _list_service_deployments(call: ApiCall, scheduler: ServiceScheduler) -> Mapping[str, Any]:
    """List a service's deployments, newest first; `status` filters."""
    service, statuses = lookup.get_service(call, scheduler), call.params.get("status") or []
    shown = [
        summarize_service_deployment(service, deployment)
        for deployment in service.deployment_history
        if not statuses or deployment.outcome in statuses
    ]
    return lookup.list_page(call, "serviceDeployments", shown)


def _describe_service_deployments(call: ApiCall, scheduler: ServiceScheduler) -> Mapping[str, Any]:
    arns = call.params["serviceDeploymentArns"]
    if not 1 <= len(arns) <= 20:
        raise invalid_parameter("Specify 1 to 20 service deployments.")
    known = {deployment.arn: (service, deployment) for service, deployment in _all_deployments(scheduler)}
    return {
        "serviceDeployments": [describe_service_deployment(*known[arn]) for arn in arns if arn in known],
        "failures": [lookup.build_failure(arn) for arn in arns if arn not in known],
    }


def _describe_service_revisions(call: ApiCall, scheduler: ServiceScheduler) -> Mapping[str, Any]:
    arns = call.params["serviceRevisionArns"]
    if not 1 <= len(arns) <= 20:
        raise invalid_parameter("Specify 1 to 20 service revisions.")
    known = {
        deployment.revision.arn: (service, deployment.revision) for service, deployment in _all_deployments(scheduler)
    }
    return {
        "serviceRevisions": [
            describe_revision(*known[arn], _describe_images(known[arn][1], call)) for arn in arns if arn in known
        ],
        "failures": [lookup.build_failure(arn) for arn in arns if arn not in known],
    }


def _all_deployments(scheduler: ServiceScheduler) -> Iterator[tuple[EcsService, EcsDeployment]]:
    for service in scheduler.services.values():
        for deployment in service.deployment_history:
            yield service, deployment


def _describe_images(revision: ServiceRevision, call: ApiCall) -> list[dict[str, Any]]:
    """Return the images with the digests that they are pinned to."""
    backend = ecs_backends[call.account][call.region]
    containers = backend.describe_task_definition(revision.task_definition).container_definitions
    images = []
    for container in containers:
        image = {"containerName": container["name"], "image": container["image"]}
        digest = container["image"].partition("@")[2]
        images.append(image | ({"imageDigest": digest} if digest else {}))
    return images
