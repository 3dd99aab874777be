"""Tasks as Cloud Map instances, in moto's Cloud Map state. Call under the emulator's lock.

As ECS does (Amazon ECS developer guide, "Service discovery"): a running task is registered under its task id with its
address and port. Where the Cloud Map service takes custom health, a task with a container health check starts UNHEALTHY
and follows that check. A task is deregistered before its containers receive SIGTERM.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from moto.servicediscovery.models import ServiceInstance, servicediscovery_backends

from embedded_aws.tasks.state import EcsTask


def register_task(task: EcsTask) -> None:
    """Register the task in the Cloud Map services of its ECS service. Skip services that no longer exist."""
    for entry, found in _registries(task):
        attributes = {
            "AWS_INSTANCE_IPV4": task.address,
            "AVAILABILITY_ZONE": task.interface.subnet.availability_zone,
            "REGION": task.region,
            "ECS_CLUSTER_NAME": task.cluster,
            "ECS_SERVICE_NAME": task.service.name if task.service else "",
            "ECS_TASK_DEFINITION_FAMILY": task.definition.family,
        }
        if port := entry.get("port") or entry.get("containerPort"):
            attributes["AWS_INSTANCE_PORT"] = str(port)
        instance = ServiceInstance(found.id, task.id, attributes=attributes)
        instance.health_status = _health_status(task, found)
        # Assign a new list: API Gateway reads it without the lock.
        found.instances = [*found.instances, instance]
        found.instances_revision[task.id] = found.instances_revision.get(task.id, 0) + 1


def update_health(task: EcsTask) -> None:
    """Set the custom health of the task's instances. A task without a health check stays HEALTHY."""
    for _, found in _registries(task):
        instance = next((i for i in found.instances if i.instance_id == task.id), None)
        if instance:
            instance.health_status = _health_status(task, found)


def deregister_task(task: EcsTask) -> None:
    """Deregister the task from Cloud Map."""
    for _, found in _registries(task):
        if any(instance.instance_id == task.id for instance in found.instances):
            _backend(task).deregister_instance(found.id, task.id)


def _health_status(task: EcsTask, found: Any) -> str:
    follows = task.has_health_check and found.health_check_custom_config is not None
    return "UNHEALTHY" if follows and task.health != "HEALTHY" else "HEALTHY"


def _registries(task: EcsTask) -> Iterator[tuple[Mapping[str, Any], Any]]:
    """Yield each service registry of the task with its Cloud Map service."""
    if task.service is None:
        return
    deployment = next((d for d in task.service.deployment_history if d.id == task.deployment), None)
    for entry in deployment.revision.settings.get("serviceRegistries", ()) if deployment else ():
        service = _backend(task).services.get(entry["registryArn"].rsplit("/", 1)[-1])
        if service:
            yield entry, service


def _backend(task: EcsTask) -> Any:
    return servicediscovery_backends[task.account][task.region]
