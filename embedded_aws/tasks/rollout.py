"""The next actions of ECS for one service: a pure function of its state. No clocks, no moto, no processes.

Sources: Amazon ECS API reference, DeploymentConfiguration, DeploymentCircuitBreaker, ThresholdConfiguration and
Deployment; Amazon ECS developer guide, "Rolling update deployments" and "deployment circuit breaker".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from math import ceil, floor
from typing import Any


class TaskHealth(Enum):
    """A task's health as a rollout counts it. A task that starts, or has no health status yet, is STARTING."""

    STARTING = "starting"
    HEALTHY = "healthy"
    UNHEALTHY = "unhealthy"


class RolloutState(Enum):
    """A deployment's rolloutState."""

    IN_PROGRESS = "IN_PROGRESS"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"


@dataclass(frozen=True)
class RolloutTask:
    """A task that ECS has not asked to stop."""

    task: str
    deployment: str
    health: TaskHealth


@dataclass(frozen=True)
class CircuitBreaker:
    """An enabled deployment circuit breaker."""

    rollback: bool = False
    reset_on_healthy: bool = True
    kind: str = "BOUNDED_PERCENT"
    value: int = 50

    def threshold(self, desired: int) -> int:
        """Return how many failures trip the breaker: by default half the desired count, at least 3 and at most 200."""
        if self.kind == "COUNT":
            return self.value
        share = ceil(desired * self.value / 100)
        return min(200, max(3, share)) if self.kind == "BOUNDED_PERCENT" else max(1, share)


@dataclass(frozen=True)
class Rollout:
    """One service at one moment. `tasks` are in order of age, oldest first.

    `fallback` is the last completed deployment besides the primary. `draining` means that tasks of older deployments
    are still being deregistered. `throttled` means that a task failed so recently that the next start has to wait.
    """

    primary: str
    state: RolloutState
    desired: int
    tasks: tuple[RolloutTask, ...] = ()
    minimum_percent: int = 100
    maximum_percent: int = 200
    breaker: CircuitBreaker | None = None
    failures: int = 0
    fallback: str | None = None
    draining: bool = False
    throttled: bool = False


@dataclass(frozen=True)
class StartTasks:
    """Launch `count` tasks of the primary deployment."""

    count: int


@dataclass(frozen=True)
class StopTasks:
    """Stop surplus tasks."""

    tasks: tuple[str, ...]


@dataclass(frozen=True)
class ReplaceTasks:
    """Stop tasks that failed their health check. They count as failures."""

    tasks: tuple[str, ...]


@dataclass(frozen=True)
class CompleteDeployment:
    """The primary deployment has reached its steady state."""


@dataclass(frozen=True)
class FailDeployment:
    """The circuit breaker fails the primary deployment. `fallback`, if any, becomes the primary again."""

    fallback: str | None


@dataclass(frozen=True)
class ReportBlocked:
    """The percentages allow neither a start nor a stop."""


SchedulerAction = StartTasks | StopTasks | ReplaceTasks | CompleteDeployment | FailDeployment | ReportBlocked


def read_circuit_breaker(configuration: Mapping[str, Any]) -> CircuitBreaker | None:
    """Read a service's deploymentConfiguration. Return None when its circuit breaker is off."""
    setting = configuration.get("deploymentCircuitBreaker") or {}
    if not setting.get("enable"):
        return None
    threshold = setting.get("thresholdConfiguration") or {}
    return CircuitBreaker(
        rollback=bool(setting.get("rollback")),
        reset_on_healthy=setting.get("resetOnHealthyTask") is not False,
        kind=threshold.get("type", "BOUNDED_PERCENT"),
        value=threshold.get("value", 50),
    )


def decide_actions(now: Rollout) -> list[SchedulerAction]:
    """Return the actions to take now, in order. An empty list means: wait."""
    if now.state is RolloutState.FAILED:
        # A failed deployment launches nothing, and tasks of earlier deployments keep serving.
        return []
    if now.state is RolloutState.IN_PROGRESS and now.breaker and now.failures >= now.breaker.threshold(now.desired):
        return [FailDeployment(now.fallback if now.breaker.rollback else None)]
    new = [member for member in now.tasks if member.deployment == now.primary]
    old = [member for member in now.tasks if member.deployment != now.primary]
    starts = _start_count(now, new)
    no_room = _missing_count(now, new) > starts and not now.throttled
    unhealthy = _unhealthy_to_stop(now, no_room)
    stops = _surplus_to_stop(now, new) + _old_to_stop(now, new, old, no_room=no_room)
    actions: list[SchedulerAction] = []
    if starts:
        actions.append(StartTasks(starts))
    if unhealthy:
        actions.append(ReplaceTasks(unhealthy))
    if stops:
        actions.append(StopTasks(stops))
    if not actions and no_room:
        return [ReportBlocked()] if old and _is_settled(now) else []
    if not actions and now.state is RolloutState.IN_PROGRESS and not now.draining and _is_steady(now, new, old):
        return [CompleteDeployment()]
    return actions


def _missing_count(now: Rollout, new: list[RolloutTask]) -> int:
    """Return how many tasks the primary lacks, not counting unhealthy ones."""
    return max(0, now.desired - sum(member.health is not TaskHealth.UNHEALTHY for member in new))


def _start_count(now: Rollout, new: list[RolloutTask]) -> int:
    """Return how many may start: running and pending tasks stay within maximumPercent, rounded down."""
    upper = floor(now.desired * now.maximum_percent / 100)
    return 0 if now.throttled else max(0, min(_missing_count(now, new), upper - len(now.tasks)))


def _healthy_tasks(members: list[RolloutTask] | tuple[RolloutTask, ...]) -> list[RolloutTask]:
    return [member for member in members if member.health is TaskHealth.HEALTHY]


def _minimum_healthy(now: Rollout) -> int:
    """Return how many must stay healthy: minimumHealthyPercent of the desired count, rounded up."""
    return ceil(now.desired * now.minimum_percent / 100)


def _unhealthy_to_stop(now: Rollout, no_room: bool) -> tuple[str, ...]:
    """Return the unhealthy tasks that may stop: after their replacement if maximumPercent has room, else before it."""
    if len(_healthy_tasks(now.tasks)) < _minimum_healthy(now) and not no_room:
        return ()
    return tuple(member.task for member in now.tasks if member.health is TaskHealth.UNHEALTHY)


def _surplus_to_stop(now: Rollout, new: list[RolloutTask]) -> tuple[str, ...]:
    """Return the primary's tasks beyond the desired count: first those that don't serve yet, then the youngest."""
    not_unhealthy = [member for member in new if member.health is not TaskHealth.UNHEALTHY]
    excess = max(0, len(not_unhealthy) - now.desired)
    youngest_first = not_unhealthy[::-1]
    ranked = sorted(youngest_first, key=lambda member: member.health is TaskHealth.HEALTHY)
    return tuple(member.task for member in ranked[:excess])


def _old_to_stop(now: Rollout, new: list[RolloutTask], old: list[RolloutTask], *, no_room: bool) -> tuple[str, ...]:
    """Return the tasks of older deployments that may stop.

    Tasks that don't serve stop at once. Serving tasks stop one for one as new tasks become healthy. When the
    percentages leave no room to start one, minimumHealthyPercent is the only limit.
    """
    idle = [member.task for member in old if member.health is TaskHealth.STARTING]
    serving = _healthy_tasks(old)
    must_stay = _minimum_healthy(now) if no_room else max(_minimum_healthy(now), now.desired)
    spare = max(0, len(serving) + len(_healthy_tasks(new)) - must_stay)
    return tuple(idle + [member.task for member in serving[:spare]])


def _is_settled(now: Rollout) -> bool:
    return not now.draining and all(member.health is not TaskHealth.STARTING for member in now.tasks)


def _is_steady(now: Rollout, new: list[RolloutTask], old: list[RolloutTask]) -> bool:
    return not old and len(new) == len(_healthy_tasks(new)) == now.desired
