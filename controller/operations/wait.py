"""Wait for a condition that the controller writes, by polling the store."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from controller.core.status import Status
from controller.errors import DeadlineError, NotFoundError, UsageError

_POLL = 1.0  # seconds


@dataclass(frozen=True)
class WaitCondition:
    """A condition type and the status to wait for; case doesn't matter, as in kubectl."""

    type: str
    status: str = "True"

    @classmethod
    def parse(cls, text: str) -> WaitCondition:
        """Parse `condition=TYPE` or `condition=TYPE=STATUS`. Raises UsageError for any other text."""
        head, *rest = text.split("=")
        if head != "condition" or not 1 <= len(rest) <= 2 or not all(rest):
            raise UsageError(
                f"--for: '{text}' isn't a condition", hint="write condition=Ready, or condition=Ready=False"
            )
        return cls(*rest)

    def is_met(self, status: Status) -> bool:
        """Return whether a spec's status has the condition with that status."""
        return any(
            (found.type.lower(), found.status.lower()) == (self.type.lower(), self.status.lower())
            for found in status.conditions
        )


def wait_for(
    condition: WaitCondition,
    read: Callable[[], Status | None],
    timeout: float,
    *,
    now: Callable[[], float],
    sleep: Callable[[float], None],
) -> Status:
    """Poll `read` every second, and return the status once the condition holds.

    `read` returns None while there is no status. `now` is monotonic, in seconds. After `timeout` seconds, raises
    DeadlineError, or NotFoundError if there is still no status.
    """
    deadline = now() + timeout
    while True:
        status = read()
        if status is not None and condition.is_met(status):
            return status
        left = deadline - now()
        if left > 0:
            sleep(min(_POLL, left))
        elif status is None:
            raise NotFoundError(
                f"there is no status after {timeout:g} s",
                hint="reconcile the spec; moorage get lists the specs with a status",
            )
        else:
            why = "; ".join(f"{c.type} is {c.status}: {c.message or c.reason}" for c in status.conditions[:1])
            raise DeadlineError(f"{condition.type} is not {condition.status} after {timeout:g} s", why=why)
