"""How deployments begin, count failures and end. Changes the model only; `rollout.py` decides what leads to them.

Sources: ECS API reference, Deployment (rolloutState, failedTasks), ServiceDeployment (status, rollback); Amazon ECS
developer guide, "deployment circuit breaker".
"""

from __future__ import annotations

from datetime import datetime

from embedded_aws.tasks.rollout import RolloutState, read_circuit_breaker
from embedded_aws.tasks.state import EcsDeployment, EcsService, ServiceRevision, generate_number

_BREAKER_REASON = "ECS deployment circuit breaker: tasks failed to start."
_OPEN_STATUSES = ("IN_PROGRESS", "ROLLBACK_IN_PROGRESS")


def begin(service: EcsService, revision: ServiceRevision, now: datetime) -> EcsDeployment:
    """Make `revision` the primary deployment and return it. An unfinished deployment before it ends as STOPPED."""
    source = None
    for earlier in service.deployments:
        if earlier.status == "PRIMARY":
            source, earlier.status = earlier.revision, "ACTIVE"
    _close_open(service, "STOPPED", "A newer service deployment started.", now)
    number = generate_number()
    deployment = EcsDeployment(
        id=f"ecs-svc/{number}",
        arn=service.child_arn("service-deployment", number),
        revision=revision,
        created=now,
        updated=now,
        source=source,
        desired_count=service.desired_count,
    )
    deployment.reason = f"ECS deployment {deployment.id} in progress."
    service.deployments.insert(0, deployment)
    service.deployment_history.insert(0, deployment)
    service.steady = service.blocked = False
    return deployment


def scale(service: EcsService, desired: int) -> None:
    """Change the desired count. That is no new deployment."""
    service.desired_count = service.primary.desired_count = desired
    service.steady = service.blocked = False


def drain(service: EcsService, now: datetime) -> None:
    """Let the service drain: its desired count becomes zero."""
    service.status = "DRAINING"
    scale(service, 0)
    _close_open(service, "STOPPED", "The service was deleted.", now)


def complete(service: EcsService, now: datetime) -> None:
    """Close the primary as COMPLETED, and the rollback that led to it; older deployments leave `deployments`."""
    primary = service.primary
    primary.rollout_state, primary.completed, primary.updated = RolloutState.COMPLETED, True, now
    primary.reason = f"ECS deployment {primary.id} completed."
    if primary.outcome == "IN_PROGRESS":
        _close(primary, "SUCCESSFUL", None, now)
    for deployment in service.deployment_history:
        if deployment.outcome == "ROLLBACK_IN_PROGRESS":
            _close(deployment, "ROLLBACK_SUCCESSFUL", deployment.outcome_reason, now)
    service.deployments = [primary]


def fail(service: EcsService, fallback: str | None, now: datetime) -> None:
    """Fail the primary deployment, as the circuit breaker does.

    `fallback`, whose tasks still run, becomes the primary again. Without a fallback the primary stays.
    """
    failed = service.primary
    failed.rollout_state, failed.reason, failed.updated = RolloutState.FAILED, _BREAKER_REASON, now
    for deployment in service.deployment_history:
        if deployment.outcome == "ROLLBACK_IN_PROGRESS":
            _close(deployment, "ROLLBACK_FAILED", _BREAKER_REASON, now)
    if fallback is None:
        breaker = read_circuit_breaker(service.deployment_configuration)
        if failed.outcome == "IN_PROGRESS":
            _close(failed, "ROLLBACK_FAILED" if breaker and breaker.rollback else "STOPPED", _BREAKER_REASON, now)
        return
    target = next(deployment for deployment in service.deployments if deployment.id == fallback)
    failed.status, failed.desired_count = "ACTIVE", 0
    failed.outcome, failed.outcome_reason = "ROLLBACK_IN_PROGRESS", _BREAKER_REASON
    failed.rollback = {"reason": _BREAKER_REASON, "startedAt": now, "serviceRevisionArn": target.revision.arn}
    target.status, target.rollout_state, target.desired_count = (
        "PRIMARY",
        RolloutState.IN_PROGRESS,
        service.desired_count,
    )
    target.failed_tasks = target.consecutive_failures = 0
    target.reason = f"ECS deployment circuit breaker: rolling back to deploymentId {target.id}."
    target.updated = now
    service.deployments.sort(key=lambda deployment: deployment.status != "PRIMARY")


def count_failure(deployment: EcsDeployment) -> None:
    """Count a task that failed by itself. The circuit breaker counts only failures during a rollout."""
    deployment.consecutive_failures += 1
    if deployment.rollout_state is RolloutState.IN_PROGRESS:
        deployment.failed_tasks += 1


def reset_failures(service: EcsService, deployment_id: str) -> None:
    """Reset the failures in a row at a healthy task, and the breaker's count unless resetOnHealthyTask is off."""
    breaker = read_circuit_breaker(service.deployment_configuration)
    for deployment in service.deployments:
        if deployment.id == deployment_id:
            deployment.consecutive_failures = 0
            if breaker is None or breaker.reset_on_healthy:
                deployment.failed_tasks = 0


def _close_open(service: EcsService, outcome: str, reason: str, now: datetime) -> None:
    for deployment in service.deployments:
        if deployment.outcome in _OPEN_STATUSES:
            _close(deployment, outcome, reason, now)


def _close(deployment: EcsDeployment, outcome: str, reason: str | None, now: datetime) -> None:
    deployment.outcome, deployment.outcome_reason = outcome, reason
    deployment.finished = deployment.updated = now
