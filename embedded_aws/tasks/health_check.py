"""A container's health, derived from its health check. Pure; the caller passes the time (seconds, monotonic).

Rules: Amazon ECS API reference, HealthCheck, which are Docker's. One deviation, on purpose: ECS makes the first check a
whole interval (30 s by default) after the start. Here, until the first success, extra checks run every `EAGER` seconds.
They can only make a container healthy sooner, because failures count at ECS's own times alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

EAGER = 0.5


@dataclass
class HealthCheck:
    """One container's health check and its results so far. Times are in seconds."""

    command: tuple[str, ...]
    interval: float = 30.0
    timeout: float = 5.0
    retries: int = 3
    start_period: float = 0.0
    started: float = 0.0
    status: str = "UNKNOWN"
    due: float = field(default=0.0, init=False)
    _failures: int = field(default=0, init=False)
    _counts_from: float = field(default=0.0, init=False)

    def __post_init__(self) -> None:
        self.due = self.started + min(EAGER, self.interval)
        self._counts_from = self.started + self.interval

    @classmethod
    def of(cls, definition: Mapping[str, Any], started: float) -> HealthCheck:
        """Build the health check from a container definition's healthCheck."""
        return cls(
            command=tuple(definition["command"]),
            interval=definition.get("interval") or 30,
            timeout=definition.get("timeout") or 5,
            retries=definition.get("retries") or 3,
            start_period=definition.get("startPeriod") or 0,
            started=started,
        )

    def record(self, now: float, *, passed: bool) -> bool:
        """Record a check's result; return whether the status changed. Sets `due`, the time of the next check."""
        before = self.status
        counted = now >= self._counts_from
        if passed:
            self.status, self._failures = "HEALTHY", 0
        elif before == "HEALTHY" or (counted and now - self.started >= self.start_period):
            self._failures += 1
            if self._failures >= self.retries:
                self.status = "UNHEALTHY"
        if passed or counted or before == "HEALTHY":
            self._counts_from = now + self.interval
        eager = self.status == "UNKNOWN"
        self.due = min(now + EAGER, self._counts_from) if eager else self._counts_from
        return self.status != before
