"""Waiting for a condition that the controller writes, by reading it now and then."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from controller.core.status import Status
from controller.errors import DeadlineError, NotFoundError, UsageError

_POLL = 1.0


@dataclass(frozen=True)
class WaitCondition:
    """A condition's type, and the status it is to have; letters count alike in both cases, as for kubectl."""

    type: str
    status: str = "True"

    @classmethod
    def parse(cls, text: str) -> WaitCondition:
        """Read `condition=TYPE` or `condition=TYPE=STATUS`. Raises UsageError."""
        head, *rest = text.split("=")
        if head != "condition" or not 1 <= len(rest) <= 2 or not all(rest):
            raise UsageError(f"'{text}' is nothing to wait for", hint="--for=condition=Ready, or condition=Ready=False")
        return cls(*rest)

    def is_met(self, status: Status) -> bool:
        """Whether a spec's status has it."""
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
    """The status, once the condition holds. `read` asks for it; None as long as there is none. `now` is monotonic, in seconds.

    Raises DeadlineError after `timeout` seconds, NotFoundError when there was no status until then.
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
                "there is no status yet", hint="has it been reconciled? moorage get shows what is known"
            )
        else:
            why = "; ".join(f"{c.type} is {c.status}: {c.message or c.reason}" for c in status.conditions[:1])
            raise DeadlineError(f"{condition.type} is not {condition.status} after {timeout:g} s", why=why)
