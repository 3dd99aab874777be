"""Bad weather: what AWS does on ordinary days, and this program only when told to.

    throttle    AWS's request rates hold (`rates`)
    iam-delay   a role that was just made can't be assumed yet
    read-lag    for a while after a change, reads of the service show what was true before it

`MOORAGE_LOCAL_WEATHER=throttle,read-lag` says it from the start, and what a reset goes back to. `PUT /_moorage/weather`
with `{"kinds": ["throttle"]}`, and `iamDelay` and `readLag` in seconds, says it anew; DELETE goes back to what held from
the start; GET tells. What a service does in it is that service's business.
"""

from __future__ import annotations

import os
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from embedded_aws.call import Answer, Call
from embedded_aws.errors import SettingError

KINDS = ("throttle", "iam-delay", "read-lag")
# Those that AWS documents as eventually consistent.
# ECS: https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_RunTask.html
# EC2: https://docs.aws.amazon.com/ec2/latest/devguide/eventual-consistency.html
# IAM: https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot.html#troubleshoot_general_eventual-consistency
LAGGING = ("ecs", "ec2", "iam")
READS = ("Describe", "Get", "List", "Head", "BatchGet", "BatchDescribe")
_REMEMBERED = 1_000
_LARGE = 1 << 16


class Weather:
    """What holds now. Safe for many threads."""

    def __init__(
        self,
        settings: Mapping[str, str] = os.environ,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """Read MOORAGE_LOCAL_WEATHER and the two durations. Raises SettingError for a kind that there isn't."""
        kinds = _kinds(filter(None, settings.get("MOORAGE_LOCAL_WEATHER", "").split(",")))
        # AWS: seconds, and up to two minutes.
        iam_delay = float(settings.get("MOORAGE_LOCAL_IAM_DELAY_SECONDS", "8"))
        read_lag = float(settings.get("MOORAGE_LOCAL_READ_LAG_SECONDS", "2"))
        self._from_the_start = (kinds, iam_delay, read_lag)
        self.kinds, self.iam_delay, self.read_lag = self._from_the_start
        self._clock, self._now = clock, now
        self._lock = threading.Lock()
        self._changed: dict[tuple[str, str], float] = {}
        self._answers: OrderedDict[tuple[str, ...], list[tuple[float, Answer]]] = OrderedDict()

    def turn(self, kinds: Iterable[str], iam_delay: float | None = None, read_lag: float | None = None) -> None:
        """Let these hold and no others; durations are seconds, None as it is. Raises SettingError for a kind that there isn't."""
        wanted = _kinds(kinds)
        with self._lock:
            self.kinds = wanted
            self.iam_delay = self.iam_delay if iam_delay is None else iam_delay
            self.read_lag = self.read_lag if read_lag is None else read_lag
            self._changed.clear()
            self._answers.clear()

    def reset(self) -> None:
        """Go back to what held at the start."""
        self.turn(*self._from_the_start)

    def spreads(self, made: datetime, part: float = 1.0) -> bool:
        """Whether IAM still spreads a role made at that time, UTC; `part` of the delay is what this use of it takes."""
        if "iam-delay" not in self.kinds:
            return False
        made = made if made.tzinfo else made.replace(tzinfo=UTC)
        return (self._now() - made).total_seconds() < self.iam_delay * part

    def shown(self, call: Call, answer: Answer) -> Answer:
        """What a caller is shown of an answer: where reads lag, what the same request was answered before the last change."""
        if "read-lag" not in self.kinds or call.service not in LAGGING:
            return answer
        with self._lock:
            now, place = self._clock(), (call.service, call.region)
            if not call.operation.startswith(READS):
                if answer.status < 300:
                    self._changed[place] = now
                return answer
            changed = self._changed.get(place, float("-inf"))
            before = self._before(call, answer, now, changed)
            return before if before is not None and now - changed < self.read_lag else answer

    def _before(self, call: Call, answer: Answer, now: float, changed: float) -> Answer | None:
        """Remember the truth, and give the last one from before the change."""
        request = (call.name, call.region, call.target, call.body.decode("latin-1"))
        known = self._answers.pop(request, [])
        before = [entry for entry in known if entry[0] <= changed][-1:]
        if len(answer.body) <= _LARGE:
            self._answers[request] = [*before, (now, answer)]
        if len(self._answers) > _REMEMBERED:
            self._answers.popitem(last=False)
        return before[0][1] if before else None

    def report(self) -> dict[str, Any]:
        """Return what holds, and how long what takes its time takes."""
        return {"kinds": sorted(self.kinds), "iamDelay": self.iam_delay, "readLag": self.read_lag}


def _kinds(names: Iterable[str]) -> frozenset[str]:
    wanted = frozenset(name.strip() for name in names)
    if unknown := wanted.difference(KINDS):
        raise SettingError(f"there is no weather {min(unknown)!r}", hint=f"there is {', '.join(KINDS)}")
    return wanted
