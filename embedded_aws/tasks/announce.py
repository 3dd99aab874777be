"""What ECS tells the world: service event messages, and events on the default EventBridge bus.

Texts and shapes: Amazon ECS developer guide, "service event messages" and "Amazon ECS events" (task state change,
service action, service deployment state change).
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence

from embedded_aws.tasks.describe import task_of
from embedded_aws.tasks.model import Deployment, Service, Task
from embedded_aws.world import World


def task(world: World, changed: Task) -> None:
    """Publish a task's new state."""
    shown = task_of(changed) | {"updatedAt": world.now()}
    world.publish("aws.ecs", "ECS Task State Change", shown, [changed.task_arn], changed.region)


def deployment(world: World, service: Service, changed: Deployment, name: str) -> None:
    """Publish SERVICE_DEPLOYMENT_IN_PROGRESS, _COMPLETED or _FAILED, and tell it among the service's events."""
    detail = {
        "eventType": "ERROR" if name.endswith("FAILED") else "INFO",
        "eventName": name,
        "deploymentId": changed.id,
        "updatedAt": changed.updated,
        "reason": changed.reason,
    }
    world.publish("aws.ecs", "ECS Deployment State Change", detail, [service.arn], service.region)
    if name.endswith("COMPLETED"):
        _message(world, service, f"(deployment {changed.id}) deployment completed.")
    if name.endswith("FAILED"):
        _message(world, service, f"(deployment {changed.id}) deployment failed: tasks failed to start.")
    if name.endswith("IN_PROGRESS") and changed.completed:
        _message(world, service, f"rolling back to deployment {changed.id}.")


def started(world: World, service: Service, tasks: Sequence[Task]) -> None:
    """Tell which tasks were started."""
    _message(world, service, f"has started {len(tasks)} tasks: {_list(tasks)}.")


def stopped(world: World, service: Service, tasks: Sequence[Task]) -> None:
    """Tell which tasks were stopped."""
    _message(world, service, f"has stopped {len(tasks)} running tasks: {_list(tasks)}.")
    _action(world, service, "INFO", "TASKS_STOPPED")


def unhealthy(world: World, service: Service, sick: Task) -> None:
    """Tell that a task failed its container health checks."""
    _message(world, service, f"(task {sick.id}) failed container health checks.")


def steady(world: World, service: Service) -> None:
    """Tell that the service runs what it should. ECS repeats this every six hours; here it is said once."""
    _message(world, service, "has reached a steady state.")
    _action(world, service, "INFO", "SERVICE_STEADY_STATE")


def impaired(world: World, service: Service) -> None:
    """Tell that tasks keep failing to start."""
    _message(world, service, "is unable to consistently start tasks successfully.")
    _action(world, service, "WARN", "SERVICE_TASK_START_IMPAIRED")


def stuck(world: World, service: Service) -> None:
    """Tell that the deployment configuration leaves nothing to do."""
    _message(
        world,
        service,
        "was unable to stop or start tasks during a deployment because of the service deployment configuration. "
        "Update the minimumHealthyPercent or maximumPercent value and try again.",
    )
    _action(world, service, "ERROR", "SERVICE_TASK_CONFIGURATION_FAILURE")


def _message(world: World, service: Service, text: str) -> None:
    event = {"id": str(uuid.uuid4()), "createdAt": world.now(), "message": f"(service {service.name}) {text}"}
    service.events.appendleft(event)


def _action(world: World, service: Service, kind: str, name: str) -> None:
    detail = {"eventType": kind, "eventName": name, "clusterArn": service.cluster_arn, "createdAt": world.now()}
    world.publish("aws.ecs", "ECS Service Action", detail, [service.arn], service.region)


def _list(tasks: Sequence[Task]) -> str:
    return " ".join(f"(task {task.id})" for task in tasks)
