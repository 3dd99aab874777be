"""AWS's time, as its answers tell it. A signature that is off by five minutes is refused, so a wrong clock looks like wrong keys."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any

from controller.aws.calls import Call, Hook
from controller.errors import MoorageError


class AnswerTime(Hook):
    """A door's hook that remembers when AWS gave its last answer: `told`; None until one had a Date."""

    def __init__(self) -> None:
        self.told: datetime | None = None

    def after(self, call: Call, answer: Mapping[str, Any] | MoorageError) -> None:
        """Read an answer's Date."""
        del call
        if isinstance(answer, Mapping):
            date = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("date")
            self.told = parsedate_to_datetime(date) if date else self.told


class ServerClock(AnswerTime):
    """Compares the Date of answers with `now`, this machine's time of day."""

    def __init__(self, now: Callable[[], datetime]) -> None:
        super().__init__()
        self._now = now
        self.behind: float | None = None
        """How many seconds this machine is behind AWS, to a second or so; None until something was answered."""

    def after(self, call: Call, answer: Mapping[str, Any] | MoorageError) -> None:
        """Read an answer's Date, and this machine's."""
        self.told = None
        super().after(call, answer)
        if self.told is not None:
            self.behind = (self.told - self._now()).total_seconds()
