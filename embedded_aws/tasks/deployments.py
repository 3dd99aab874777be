"""How a deployment begins, counts and ends: changes of the model alone. What leads to them is decided in `rollout.py`.

Sources: ECS API reference, Deployment (rolloutState, failedTasks), ServiceDeployment (status, rollback);
Amazon ECS developer guide, "deployment circuit breaker".
"""

from __future__ import annotations

from datetime import datetime

from embedded_aws.tasks.model import Deployment, Revision, Service, new_number
from embedded_aws.tasks.rollout import State, breaker_of

_TRIPPED = "ECS deployment circuit breaker: tasks failed to start."
_OPEN = ("IN_PROGRESS", "ROLLBACK_IN_PROGRESS")


def begin(service: Service, revision: Revision, now: datetime) -> Deployment:
    """Make `revision` the primary deployment and return it. An unfinished one before it ends as STOPPED."""
    source = None
    for earlier in service.deployments:
        if earlier.status == "PRIMARY":
            source, earlier.status = earlier.revision, "ACTIVE"
    _close_open(service, "STOPPED", "A newer service deployment started.", now)
    number = new_number()
    deployment = Deployment(
        id=f"ecs-svc/{number}",
        arn=service.child_arn("service-deployment", number),
        revision=revision,
        created=now,
        updated=now,
        source=source,
        desired=service.desired,
    )
    deployment.reason = f"ECS deployment {deployment.id} in progress."
    service.deployments.insert(0, deployment)
    service.history.insert(0, deployment)
    service.steady = service.stuck = False
    return deployment


def scale(service: Service, desired: int) -> None:
    """Change how many tasks are wanted; that is no new deployment."""
    service.desired = service.primary.desired = desired
    service.steady = service.stuck = False


def end(service: Service, now: datetime) -> None:
    """Let the service drain: nothing is wanted any more."""
    service.status = "DRAINING"
    scale(service, 0)
    _close_open(service, "STOPPED", "The service was deleted.", now)


def complete(service: Service, now: datetime) -> None:
    """Close the primary as COMPLETED, and with it the rollback that led to it; older ones leave `deployments`."""
    primary = service.primary
    primary.state, primary.completed, primary.updated = State.COMPLETED, True, now
    primary.reason = f"ECS deployment {primary.id} completed."
    if primary.outcome == "IN_PROGRESS":
        _close(primary, "SUCCESSFUL", None, now)
    for deployment in service.history:
        if deployment.outcome == "ROLLBACK_IN_PROGRESS":
            _close(deployment, "ROLLBACK_SUCCESSFUL", deployment.outcome_reason, now)
    service.deployments = [primary]


def fail(service: Service, fallback: str | None, now: datetime) -> None:
    """Trip the breaker: `fallback`, whose tasks still run, becomes the primary again; without one the primary stays."""
    failed = service.primary
    failed.state, failed.reason, failed.updated = State.FAILED, _TRIPPED, now
    for deployment in service.history:
        if deployment.outcome == "ROLLBACK_IN_PROGRESS":
            _close(deployment, "ROLLBACK_FAILED", _TRIPPED, now)
    if fallback is None:
        breaker = breaker_of(service.configuration)
        if failed.outcome == "IN_PROGRESS":
            _close(failed, "ROLLBACK_FAILED" if breaker and breaker.rollback else "STOPPED", _TRIPPED, now)
        return
    target = next(deployment for deployment in service.deployments if deployment.id == fallback)
    failed.status, failed.desired = "ACTIVE", 0
    failed.outcome, failed.outcome_reason = "ROLLBACK_IN_PROGRESS", _TRIPPED
    failed.rollback = {"reason": _TRIPPED, "startedAt": now, "serviceRevisionArn": target.revision.arn}
    target.status, target.state, target.desired = "PRIMARY", State.IN_PROGRESS, service.desired
    target.failed = target.consecutive = 0
    target.reason = f"ECS deployment circuit breaker: rolling back to deploymentId {target.id}."
    target.updated = now
    service.deployments.sort(key=lambda deployment: deployment.status != "PRIMARY")


def count_failure(deployment: Deployment) -> None:
    """Count a task that failed by itself; the breaker looks at those of a rollout only."""
    deployment.consecutive += 1
    if deployment.state is State.IN_PROGRESS:
        deployment.failed += 1


def forgive(service: Service, deployment_id: str) -> None:
    """Let a healthy task end a run of failures; the breaker's count too, unless resetOnHealthyTask is off."""
    breaker = breaker_of(service.configuration)
    for deployment in service.deployments:
        if deployment.id == deployment_id:
            deployment.consecutive = 0
            if breaker is None or breaker.reset_on_healthy:
                deployment.failed = 0


def _close_open(service: Service, outcome: str, reason: str, now: datetime) -> None:
    for deployment in service.deployments:
        if deployment.outcome in _OPEN:
            _close(deployment, outcome, reason, now)


def _close(deployment: Deployment, outcome: str, reason: str | None, now: datetime) -> None:
    deployment.outcome, deployment.outcome_reason = outcome, reason
    deployment.finished = deployment.updated = now
