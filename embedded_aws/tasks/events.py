"""The embedded ECS's events: service event messages, and events on the default EventBridge bus.

Texts and shapes: Amazon ECS developer guide, "service event messages" and "Amazon ECS events" (task state change,
service action, service deployment state change).
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence

from embedded_aws.emulator import Emulator
from embedded_aws.tasks.describe import describe_task
from embedded_aws.tasks.state import EcsDeployment, EcsService, EcsTask


def publish_task_state(emulator: Emulator, changed: EcsTask) -> None:
    """Publish a task's new state."""
    shown = describe_task(changed) | {"updatedAt": emulator.now()}
    emulator.publish_event("aws.ecs", "ECS Task State Change", shown, [changed.task_arn], changed.region)


def publish_deployment_state(emulator: Emulator, service: EcsService, changed: EcsDeployment, name: str) -> None:
    """Publish SERVICE_DEPLOYMENT_IN_PROGRESS, _COMPLETED or _FAILED, and add it to the service's events."""
    detail = {
        "eventType": "ERROR" if name.endswith("FAILED") else "INFO",
        "eventName": name,
        "deploymentId": changed.id,
        "updatedAt": changed.updated,
        "reason": changed.reason,
    }
    emulator.publish_event("aws.ecs", "ECS Deployment State Change", detail, [service.arn], service.region)
    if name.endswith("COMPLETED"):
        _add_service_event(emulator, service, f"(deployment {changed.id}) deployment completed.")
    if name.endswith("FAILED"):
        _add_service_event(emulator, service, f"(deployment {changed.id}) deployment failed: tasks failed to start.")
    if name.endswith("IN_PROGRESS") and changed.completed:
        _add_service_event(emulator, service, f"rolling back to deployment {changed.id}.")


def report_tasks_started(emulator: Emulator, service: EcsService, tasks: Sequence[EcsTask]) -> None:
    """Report which tasks were started."""
    _add_service_event(emulator, service, f"has started {len(tasks)} tasks: {_format_tasks(tasks)}.")


def report_tasks_stopped(emulator: Emulator, service: EcsService, tasks: Sequence[EcsTask]) -> None:
    """Report which tasks were stopped."""
    _add_service_event(emulator, service, f"has stopped {len(tasks)} running tasks: {_format_tasks(tasks)}.")
    _publish_service_action(emulator, service, "INFO", "TASKS_STOPPED")


def report_unhealthy_task(emulator: Emulator, service: EcsService, task: EcsTask) -> None:
    """Report that a task failed its container health checks."""
    _add_service_event(emulator, service, f"(task {task.id}) failed container health checks.")


def report_steady_state(emulator: Emulator, service: EcsService) -> None:
    """Report that the service reached a steady state. ECS repeats this every six hours; here it is reported once."""
    _add_service_event(emulator, service, "has reached a steady state.")
    _publish_service_action(emulator, service, "INFO", "SERVICE_STEADY_STATE")


def report_start_impaired(emulator: Emulator, service: EcsService) -> None:
    """Report that tasks keep failing to start."""
    _add_service_event(emulator, service, "is unable to consistently start tasks successfully.")
    _publish_service_action(emulator, service, "WARN", "SERVICE_TASK_START_IMPAIRED")


def report_blocked_deployment(emulator: Emulator, service: EcsService) -> None:
    """Report that the deployment configuration allows neither a start nor a stop."""
    _add_service_event(
        emulator,
        service,
        "was unable to stop or start tasks during a deployment because of the service deployment configuration. "
        "Update the minimumHealthyPercent or maximumPercent value and try again.",
    )
    _publish_service_action(emulator, service, "ERROR", "SERVICE_TASK_CONFIGURATION_FAILURE")


def _add_service_event(emulator: Emulator, service: EcsService, text: str) -> None:
    event = {"id": str(uuid.uuid4()), "createdAt": emulator.now(), "message": f"(service {service.name}) {text}"}
    service.events.appendleft(event)


def _publish_service_action(emulator: Emulator, service: EcsService, kind: str, name: str) -> None:
    detail = {"eventType": kind, "eventName": name, "clusterArn": service.cluster_arn, "createdAt": emulator.now()}
    emulator.publish_event("aws.ecs", "ECS Service Action", detail, [service.arn], service.region)


def _format_tasks(tasks: Sequence[EcsTask]) -> str:
    return " ".join(f"(task {task.id})" for task in tasks)
