"""Weather: injected throttling, IAM delay and read lag, as AWS has them on an ordinary day. Off by default.

    throttle    AWS's request rates are enforced (`request_rates`)
    iam-delay   a role that was just created can't be assumed yet
    read-lag    for a while after a change, reads of the service return the state before it

`MOORAGE_LOCAL_WEATHER=throttle,read-lag` sets the initial weather, which a reset restores. `PUT /_moorage/weather` with
`{"kinds": ["throttle"]}`, and `iamDelay` and `readLag` in seconds, changes it; DELETE restores the initial weather; GET
reports the current one. The effect on a service is implemented in that service's module.
"""

from __future__ import annotations

import os
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from embedded_aws.api_call import ApiCall, ApiResponse
from embedded_aws.errors import SettingError

WEATHER_KINDS = ("throttle", "iam-delay", "read-lag")
# Services that AWS documents as eventually consistent.
# ECS: https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_RunTask.html
# EC2: https://docs.aws.amazon.com/ec2/latest/devguide/eventual-consistency.html
# IAM: https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot.html#troubleshoot_general_eventual-consistency
EVENTUALLY_CONSISTENT = ("ecs", "ec2", "iam")
READ_PREFIXES = ("Describe", "Get", "List", "Head", "BatchGet", "BatchDescribe")
_MAX_RECORDED = 1_000
_MAX_RECORDED_BYTES = 1 << 16


class Weather:
    """The current weather. Thread-safe."""

    def __init__(
        self,
        settings: Mapping[str, str] = os.environ,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """Read MOORAGE_LOCAL_WEATHER and the two durations. Raises SettingError for an unknown kind."""
        kinds = _parse_kinds(filter(None, settings.get("MOORAGE_LOCAL_WEATHER", "").split(",")))
        # On AWS a new role takes seconds, and up to two minutes.
        iam_delay = float(settings.get("MOORAGE_LOCAL_IAM_DELAY_SECONDS", "8"))
        read_lag = float(settings.get("MOORAGE_LOCAL_READ_LAG_SECONDS", "2"))
        self._initial = (kinds, iam_delay, read_lag)
        self.kinds, self.iam_delay, self.read_lag = self._initial
        self._clock, self._now = clock, now
        self._lock = threading.Lock()
        self._last_change: dict[tuple[str, str], float] = {}
        self._responses: OrderedDict[tuple[str, ...], list[tuple[float, ApiResponse]]] = OrderedDict()

    def change(self, kinds: Iterable[str], iam_delay: float | None = None, read_lag: float | None = None) -> None:
        """Replace the current kinds.

        Durations are in seconds; None keeps the current one. Raises SettingError for an unknown kind.
        """
        chosen = _parse_kinds(kinds)
        with self._lock:
            self.kinds = chosen
            self.iam_delay = self.iam_delay if iam_delay is None else iam_delay
            self.read_lag = self.read_lag if read_lag is None else read_lag
            self._last_change.clear()
            self._responses.clear()

    def reset(self) -> None:
        """Restore the initial weather."""
        self.change(*self._initial)

    def is_role_propagating(self, created: datetime, share: float = 1.0) -> bool:
        """Return whether IAM still propagates a role created at that time (UTC).

        `share` scales the delay for one use of it.
        """
        if "iam-delay" not in self.kinds:
            return False
        created = created if created.tzinfo else created.replace(tzinfo=UTC)
        return (self._now() - created).total_seconds() < self.iam_delay * share

    def apply_read_lag(self, call: ApiCall, answer: ApiResponse) -> ApiResponse:
        """Return the response that the caller sees.

        Where reads lag, that is the response to the same request before the last change.
        """
        if "read-lag" not in self.kinds or call.service not in EVENTUALLY_CONSISTENT:
            return answer
        with self._lock:
            now, scope = self._clock(), (call.service, call.region)
            if not call.operation.startswith(READ_PREFIXES):
                if answer.status < 300:
                    self._last_change[scope] = now
                return answer
            changed = self._last_change.get(scope, float("-inf"))
            before = self._previous_response(call, answer, now, changed)
            return before if before is not None and now - changed < self.read_lag else answer

    def _previous_response(self, call: ApiCall, answer: ApiResponse, now: float, changed: float) -> ApiResponse | None:
        """Record the current response, and return the last one from before the change."""
        request = (call.name, call.region, call.target, call.body.decode("latin-1"))
        known = self._responses.pop(request, [])
        before = [entry for entry in known if entry[0] <= changed][-1:]
        if len(answer.body) <= _MAX_RECORDED_BYTES:
            self._responses[request] = [*before, (now, answer)]
        if len(self._responses) > _MAX_RECORDED:
            self._responses.popitem(last=False)
        return before[0][1] if before else None

    def report(self) -> dict[str, Any]:
        """Return the current kinds and both durations, in seconds."""
        return {"kinds": sorted(self.kinds), "iamDelay": self.iam_delay, "readLag": self.read_lag}


def _parse_kinds(names: Iterable[str]) -> frozenset[str]:
    kinds = frozenset(name.strip() for name in names)
    if unknown := kinds.difference(WEATHER_KINDS):
        raise SettingError(f"unknown weather {min(unknown)!r}", hint=f"known are {', '.join(WEATHER_KINDS)}")
    return kinds
