"""AWS's time, from its responses.

A wrong clock looks like wrong keys: AWS refuses signatures that are five minutes off.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any

from controller.aws.calls import AwsCall, Hook
from controller.errors import MoorageError


class ServerDateHook(Hook):
    """A hook that remembers the Date of AWS's last response in `server_date`; None until a response had one."""

    def __init__(self) -> None:
        self.server_date: datetime | None = None

    def after(self, call: AwsCall, answer: Mapping[str, Any] | MoorageError) -> None:
        """Read a response's Date."""
        del call
        if isinstance(answer, Mapping):
            date = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("date")
            self.server_date = parsedate_to_datetime(date) if date else self.server_date


class ClockSkewHook(ServerDateHook):
    """Compares the Date of responses with `now`, this machine's time of day."""

    def __init__(self, now: Callable[[], datetime]) -> None:
        super().__init__()
        self._now = now
        self.seconds_behind: float | None = None
        """How many seconds this machine is behind AWS, to a second or so; None until something was answered."""

    def after(self, call: AwsCall, answer: Mapping[str, Any] | MoorageError) -> None:
        """Read a response's Date, and this machine's."""
        self.server_date = None
        super().after(call, answer)
        if self.server_date is not None:
            self.seconds_behind = (self.server_date - self._now()).total_seconds()
