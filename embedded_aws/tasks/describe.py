"""Services, deployments and tasks in the output shapes of the ECS API (botocore's). Reads only."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from embedded_aws.tasks.rollout import read_circuit_breaker
from embedded_aws.tasks.state import EcsDeployment, EcsService, EcsTask, ServiceRevision, TaskContainer

_FARGATE = {"launchType": "FARGATE", "platformVersion": "1.4.0", "platformFamily": "Linux"}


def describe_service(service: EcsService, *, tags: bool = False) -> dict[str, Any]:
    """Return a service as DescribeServices shows it."""
    primary, counts = service.primary, _count_tasks(list(service.tasks.values()))
    shown = {
        "serviceArn": service.arn,
        "serviceName": service.name,
        "clusterArn": service.cluster_arn,
        "status": service.status,
        "desiredCount": service.desired_count,
        **counts,
        **_FARGATE,
        "taskDefinition": primary.revision.task_definition,
        "deploymentConfiguration": service.deployment_configuration,
        "deployments": [describe_deployment(service, deployment) for deployment in service.deployments],
        "events": list(service.events),
        "createdAt": service.created,
        "currentServiceDeployment": primary.arn if primary.outcome == "IN_PROGRESS" else None,
        "currentServiceRevisions": [_summarize_revision(service, deployment) for deployment in service.deployments],
        "schedulingStrategy": "REPLICA",
        "deploymentController": {"type": "ECS"},
        "placementConstraints": [],
        "placementStrategy": [],
        **service.settings,
        **primary.revision.settings,
    }
    if tags:
        shown["tags"] = service.tags
    return _without_none(shown)


def describe_deployment(service: EcsService, deployment: EcsDeployment) -> dict[str, Any]:
    """Return one of a service's deployments as DescribeServices shows it."""
    settings = deployment.revision.settings
    return {
        "id": deployment.id,
        "status": deployment.status,
        "taskDefinition": deployment.revision.task_definition,
        "desiredCount": deployment.desired_count,
        **_count_tasks(_deployment_tasks(service, deployment)),
        "failedTasks": deployment.failed_tasks,
        "createdAt": deployment.created,
        "updatedAt": deployment.updated,
        **_FARGATE,
        **{name: value for name, value in settings.items() if name == "platformVersion" and value != "LATEST"},
        "networkConfiguration": settings.get("networkConfiguration", {}),
        "rolloutState": deployment.rollout_state.value,
        "rolloutStateReason": deployment.reason,
    }


def describe_service_deployment(service: EcsService, deployment: EcsDeployment) -> dict[str, Any]:
    """Return a deployment as DescribeServiceDeployments shows it."""
    target = deployment.revision
    shown = summarize_service_deployment(service, deployment) | {
        "updatedAt": deployment.updated,
        "sourceServiceRevisions": [{"arn": deployment.source.arn}] if deployment.source else [],
        "targetServiceRevision": _summarize_revision(service, deployment) | {"arn": target.arn},
        "deploymentConfiguration": service.deployment_configuration,
        "rollback": deployment.rollback,
        "deploymentCircuitBreaker": _describe_breaker(service, deployment),
    }
    shown.pop("targetServiceRevisionArn")
    return _without_none(shown)


def summarize_service_deployment(service: EcsService, deployment: EcsDeployment) -> dict[str, Any]:
    """Return a deployment as ListServiceDeployments shows it."""
    return _without_none(
        {
            "serviceDeploymentArn": deployment.arn,
            "serviceArn": service.arn,
            "clusterArn": service.cluster_arn,
            "createdAt": deployment.created,
            "startedAt": deployment.created,
            "finishedAt": deployment.finished,
            "targetServiceRevisionArn": deployment.revision.arn,
            "status": deployment.outcome,
            "statusReason": deployment.outcome_reason,
        }
    )


def describe_revision(service: EcsService, revision: ServiceRevision, images: list[dict[str, Any]]) -> dict[str, Any]:
    """Return a revision as DescribeServiceRevisions shows it."""
    return {
        "serviceRevisionArn": revision.arn,
        "serviceArn": service.arn,
        "clusterArn": service.cluster_arn,
        "taskDefinition": revision.task_definition,
        **_FARGATE,
        **revision.settings,
        "containerImages": images,
        "guardDutyEnabled": False,
        "createdAt": revision.created,
    }


def describe_task(task: EcsTask, *, tags: bool = False) -> dict[str, Any]:
    """Return a task as DescribeTasks shows it."""
    shown = {
        "taskArn": task.task_arn,
        "clusterArn": f"arn:aws:ecs:{task.region}:{task.account}:cluster/{task.cluster}",
        "taskDefinitionArn": task.definition.arn,
        "group": task.group,
        "startedBy": task.started_by,
        "lastStatus": task.status,
        "desiredStatus": task.desired_status,
        "healthStatus": task.health if task.has_health_check else "UNKNOWN",
        "connectivity": "CONNECTED" if task.status in {"RUNNING", "DEACTIVATING"} else None,
        "cpu": task.definition.cpu,
        "memory": task.definition.memory,
        "availabilityZone": getattr(getattr(task.interface, "subnet", None), "availability_zone", None),
        **_FARGATE,
        "createdAt": task.created,
        **task.times,
        "containers": [_describe_container(task, container) for container in task.containers],
        "attachments": [_describe_attachment(task)] if task.interface else [],
        "attributes": [{"name": "ecs.cpu-architecture", "value": "x86_64"}],
        "overrides": {"containerOverrides": []},
        "stopCode": task.stop_code,
        "stoppedReason": task.stopped_reason,
        "version": task.version,
        "enableExecuteCommand": False,
        **task.settings,
    }
    if tags:
        shown["tags"] = task.tags
    return _without_none(shown)


def _describe_container(task: EcsTask, container: TaskContainer) -> dict[str, Any]:
    interface = {"attachmentId": _attachment_id(task), "privateIpv4Address": task.address}
    path = f"{task.cluster}/{task.id}/{container.id}"
    return _without_none(
        {
            "containerArn": f"arn:aws:ecs:{task.region}:{task.account}:container/{path}",
            "taskArn": task.task_arn,
            "name": container.name,
            "image": container.image,
            "imageDigest": container.digest,
            "runtimeId": f"{task.id}-{container.id[:8]}",
            "lastStatus": container.status,
            "exitCode": container.exit_code,
            "reason": container.reason,
            "networkBindings": [],
            "networkInterfaces": [interface] if task.interface else [],
            "healthStatus": container.health,
            "cpu": str(container.definition.get("cpu", 0)),
        }
    )


def _describe_attachment(task: EcsTask) -> dict[str, Any]:
    """Return the task's network interface. Its address is the task's own loopback address on this machine."""
    details = {
        "subnetId": task.interface.subnet.id,
        "networkInterfaceId": task.interface.id,
        "macAddress": task.interface.mac_address,
        "privateIPv4Address": task.address,
    }
    return {
        "id": _attachment_id(task),
        "type": "ElasticNetworkInterface",
        "status": "DELETED" if task.status == "STOPPED" else "ATTACHED",
        "details": [{"name": name, "value": value} for name, value in details.items()],
    }


def _attachment_id(task: EcsTask) -> str:
    return f"{task.id[:8]}-{task.id[8:12]}-{task.id[12:16]}-{task.id[16:20]}-{task.id[20:]}"


def _deployment_tasks(service: EcsService, deployment: EcsDeployment) -> list[EcsTask]:
    return [task for task in service.tasks.values() if task.deployment == deployment.id]


def _count_tasks(tasks: list[EcsTask]) -> dict[str, int]:
    """Count tasks as ECS does: running when RUNNING, pending before that, and neither once they are stopping."""
    statuses = [task.status for task in tasks]
    pending = sum(status in {"PROVISIONING", "PENDING", "ACTIVATING"} for status in statuses)
    return {"runningCount": statuses.count("RUNNING"), "pendingCount": pending}


def _summarize_revision(service: EcsService, deployment: EcsDeployment) -> dict[str, Any]:
    counts = _count_tasks(_deployment_tasks(service, deployment))
    return {
        "arn": deployment.revision.arn,
        "requestedTaskCount": deployment.desired_count,
        "runningTaskCount": counts["runningCount"],
        "pendingTaskCount": counts["pendingCount"],
    }


def _describe_breaker(service: EcsService, deployment: EcsDeployment) -> dict[str, Any]:
    breaker = read_circuit_breaker(service.deployment_configuration)
    if breaker is None:
        return {"status": "DISABLED"}
    threshold, count = breaker.threshold(service.desired_count), deployment.consecutive_failures
    monitoring = "MONITORING" if deployment.outcome == "IN_PROGRESS" else "MONITORING_COMPLETE"
    return {
        "status": "TRIGGERED" if deployment.rollback or deployment.rollout_state.value == "FAILED" else monitoring,
        "failureCount": count,
        "threshold": threshold,
    }


def _without_none(shown: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in shown.items() if value is not None}
