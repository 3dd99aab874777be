"""What ECS does next for one service: a pure function from what is to what to do. No clocks, no moto, no processes.

Sources: Amazon ECS API reference, DeploymentConfiguration, DeploymentCircuitBreaker, ThresholdConfiguration and
Deployment; Amazon ECS developer guide, "Rolling update deployments" and "deployment circuit breaker".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from math import ceil, floor
from typing import Any


class Health(Enum):
    """How a task counts. One on its way, or without a verdict yet, is STARTING."""

    STARTING = "starting"
    HEALTHY = "healthy"
    UNHEALTHY = "unhealthy"


class State(Enum):
    """A deployment's rolloutState."""

    IN_PROGRESS = "IN_PROGRESS"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"


@dataclass(frozen=True)
class Member:
    """A task that ECS has not told to stop."""

    task: str
    deployment: str
    health: Health


@dataclass(frozen=True)
class Breaker:
    """The deployment circuit breaker, when it is enabled."""

    rollback: bool = False
    reset_on_healthy: bool = True
    kind: str = "BOUNDED_PERCENT"
    value: int = 50

    def threshold(self, desired: int) -> int:
        """How many failures are too many: half the desired count, at least 3 and at most 200, unless said otherwise."""
        if self.kind == "COUNT":
            return self.value
        share = ceil(desired * self.value / 100)
        return min(200, max(3, share)) if self.kind == "BOUNDED_PERCENT" else max(1, share)


@dataclass(frozen=True)
class Rollout:
    """One service at one moment. `members` are in order of age, oldest first.

    `fallback` is the last completed deployment besides the primary; `draining` says that tasks of older deployments
    are still being taken out of service; `held` that a task failed so recently that the next has to wait.
    """

    primary: str
    state: State
    desired: int
    members: tuple[Member, ...] = ()
    minimum: int = 100
    maximum: int = 200
    breaker: Breaker | None = None
    failures: int = 0
    fallback: str | None = None
    draining: bool = False
    held: bool = False


@dataclass(frozen=True)
class Start:
    """Launch `count` tasks of the primary deployment."""

    count: int


@dataclass(frozen=True)
class Stop:
    """Stop tasks that are no longer wanted."""

    tasks: tuple[str, ...]


@dataclass(frozen=True)
class Replace:
    """Stop tasks that failed their health check; they count as failures."""

    tasks: tuple[str, ...]


@dataclass(frozen=True)
class Complete:
    """The primary deployment has reached its steady state."""


@dataclass(frozen=True)
class Fail:
    """The circuit breaker ends the primary deployment; `fallback` becomes the primary again when there is one."""

    fallback: str | None


@dataclass(frozen=True)
class Stuck:
    """Neither a start nor a stop is allowed by the percentages."""


Action = Start | Stop | Replace | Complete | Fail | Stuck


def breaker_of(configuration: Mapping[str, Any]) -> Breaker | None:
    """Read a service's deploymentConfiguration; None when its circuit breaker is off."""
    setting = configuration.get("deploymentCircuitBreaker") or {}
    if not setting.get("enable"):
        return None
    threshold = setting.get("thresholdConfiguration") or {}
    return Breaker(
        rollback=bool(setting.get("rollback")),
        reset_on_healthy=setting.get("resetOnHealthyTask") is not False,
        kind=threshold.get("type", "BOUNDED_PERCENT"),
        value=threshold.get("value", 50),
    )


def decide(now: Rollout) -> list[Action]:
    """Return what to do at once, in order; empty when there is nothing to do but wait."""
    if now.state is State.FAILED:
        # A failed deployment launches nothing, and what served before goes on serving.
        return []
    if now.state is State.IN_PROGRESS and now.breaker and now.failures >= now.breaker.threshold(now.desired):
        return [Fail(now.fallback if now.breaker.rollback else None)]
    new = [member for member in now.members if member.deployment == now.primary]
    old = [member for member in now.members if member.deployment != now.primary]
    starts = _starts(now, new)
    starved = _missing(now, new) > starts and not now.held
    sick = _sick(now, starved)
    stops = _surplus(now, new) + _retired(now, new, old, starved=starved)
    actions: list[Action] = []
    if starts:
        actions.append(Start(starts))
    if sick:
        actions.append(Replace(sick))
    if stops:
        actions.append(Stop(stops))
    if not actions and starved:
        return [Stuck()] if old and _settled(now) else []
    if not actions and now.state is State.IN_PROGRESS and not now.draining and _steady(now, new, old):
        return [Complete()]
    return actions


def _missing(now: Rollout, new: list[Member]) -> int:
    """How many tasks the primary lacks, not counting unhealthy ones."""
    return max(0, now.desired - sum(member.health is not Health.UNHEALTHY for member in new))


def _starts(now: Rollout, new: list[Member]) -> int:
    """How many may start: running and pending tasks stay at or below maximumPercent, rounded down."""
    upper = floor(now.desired * now.maximum / 100)
    return 0 if now.held else max(0, min(_missing(now, new), upper - len(now.members)))


def _healthy(members: list[Member] | tuple[Member, ...]) -> list[Member]:
    return [member for member in members if member.health is Health.HEALTHY]


def _lower(now: Rollout) -> int:
    """How many must stay healthy: minimumHealthyPercent of the desired count, rounded up."""
    return ceil(now.desired * now.minimum / 100)


def _sick(now: Rollout, starved: bool) -> tuple[str, ...]:
    """Return unhealthy tasks that may go: replaced first when maximumPercent leaves room, else stopped first."""
    if len(_healthy(now.members)) < _lower(now) and not starved:
        return ()
    return tuple(member.task for member in now.members if member.health is Health.UNHEALTHY)


def _surplus(now: Rollout, new: list[Member]) -> tuple[str, ...]:
    """Return what the primary has beyond the desired count: those not serving yet first, then the youngest."""
    fit = [member for member in new if member.health is not Health.UNHEALTHY]
    excess = max(0, len(fit) - now.desired)
    youngest_first = fit[::-1]
    ranked = sorted(youngest_first, key=lambda member: member.health is Health.HEALTHY)
    return tuple(member.task for member in ranked[:excess])


def _retired(now: Rollout, new: list[Member], old: list[Member], *, starved: bool) -> tuple[str, ...]:
    """Return tasks of older deployments that may go.

    Those that don't serve go at once. Those that do go one for one as new tasks become healthy; when the percentages
    leave no room to start one, minimumHealthyPercent is the only limit.
    """
    idle = [member.task for member in old if member.health is Health.STARTING]
    serving = _healthy(old)
    floor_ = _lower(now) if starved else max(_lower(now), now.desired)
    spare = max(0, len(serving) + len(_healthy(new)) - floor_)
    return tuple(idle + [member.task for member in serving[:spare]])


def _settled(now: Rollout) -> bool:
    return not now.draining and all(member.health is not Health.STARTING for member in now.members)


def _steady(now: Rollout, new: list[Member], old: list[Member]) -> bool:
    return not old and len(new) == len(_healthy(new)) == now.desired
