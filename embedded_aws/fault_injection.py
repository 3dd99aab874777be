"""Fault injection: which call fails, how, and how often. Tests and chaos runs schedule faults over HTTP.

    POST   /_moorage/faults   [{"call": "ecs.CreateService", "kind": "lost", "nth": 1, "times": 1}, ...]
    GET    /_moorage/faults   list the pending faults
    DELETE /_moorage/faults   drop all faults

`call` is `service.Operation`, with shell wildcards (`ecs.*`). `nth` counts matching calls from 1 since the fault was
scheduled; from there on the next `times` matching calls fail. Kinds:

    throttle   the service's own throttling error; the call has no effect
    error      `code`, `message` and HTTP `status` (an InternalFailure, 500, by default); the call has no effect
    lost       the call takes effect, but the connection closes without a response
    slow       the response comes after `seconds`
    stale      a read repeats its last response to the same request; without one, it returns the current state
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from fnmatch import fnmatchcase
from typing import Any

from embedded_aws.api_call import ApiCall, ApiResponse
from embedded_aws.weather import READ_PREFIXES

FAULT_KINDS = ("throttle", "error", "lost", "slow", "stale")
_MAX_RECORDED = 1_000
_MAX_RECORDED_BYTES = 1 << 16

# Botocore's own throttling codes, by service; all other services use ThrottlingException.
_THROTTLING_ERRORS = {
    "s3": ("SlowDown", 503),
    "ec2": ("RequestLimitExceeded", 503),
    "iam": ("Throttling", 400),
    "sts": ("Throttling", 400),
    "elbv2": ("Throttling", 400),
    "cloudwatch": ("Throttling", 400),
    "apigatewayv2": ("TooManyRequestsException", 429),
}


@dataclass
class Fault:
    """One scheduled fault. `seen` counts the matching calls so far."""

    call: str
    kind: str
    nth: int = 1
    times: int = 1
    seconds: float = 1.0
    code: str = "InternalFailure"
    message: str = "An internal error was injected"
    status: int = 500
    seen: int = 0

    def __post_init__(self) -> None:
        if self.kind not in FAULT_KINDS:
            raise ValueError(f"kind is one of {', '.join(FAULT_KINDS)}, not {self.kind!r}")

    def count_call(self, name: str) -> bool:
        """Count a call and return whether the fault applies to it."""
        if not fnmatchcase(name, self.call):
            return False
        self.seen += 1
        return self.nth <= self.seen < self.nth + self.times

    @property
    def is_exhausted(self) -> bool:
        """Whether the fault can't apply any more."""
        return self.seen >= self.nth + self.times - 1


class FaultSchedule:
    """All scheduled faults. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._faults: list[Fault] = []
        self._answers: OrderedDict[tuple[str, str, bytes], ApiResponse] = OrderedDict()

    def schedule(self, entries: list[Mapping[str, Any]]) -> None:
        """Add faults. Raises TypeError or ValueError, and adds none, when an entry is invalid."""
        faults = [Fault(**entry) for entry in entries]
        with self._lock:
            self._faults += faults

    def clear(self) -> None:
        """Drop all faults and recorded responses."""
        with self._lock:
            self._faults = []
            self._answers.clear()

    def pending(self) -> list[dict[str, Any]]:
        """Return the faults that can still apply."""
        with self._lock:
            return [asdict(fault) for fault in self._faults if not fault.is_exhausted]

    def next_fault(self, name: str) -> Fault | None:
        """Count a call named `service.Operation`. Return the first fault that applies to it, or None."""
        with self._lock:
            hits = [fault for fault in self._faults if fault.count_call(name)]
        return hits[0] if hits else None

    def record_response(self, call: ApiCall, answer: ApiResponse) -> None:
        """Keep the response to a read for a later `stale` fault, unless it is an object's content."""
        if not call.operation.startswith(READ_PREFIXES) or len(answer.body) > _MAX_RECORDED_BYTES:
            return
        with self._lock:
            self._answers[_request_key(call)] = answer
            self._answers.move_to_end(_request_key(call))
            if len(self._answers) > _MAX_RECORDED:
                self._answers.popitem(last=False)

    def recorded_response(self, call: ApiCall) -> ApiResponse | None:
        """Return the last response to this very request, or None."""
        with self._lock:
            return self._answers.get(_request_key(call))


def _request_key(call: ApiCall) -> tuple[str, str, bytes]:
    return call.name, call.target, call.body


def build_throttling_response(call: ApiCall) -> ApiResponse:
    """Return the service's own throttling error."""
    code, status = _THROTTLING_ERRORS.get(call.service, ("ThrottlingException", 400))
    return call.build_error(code, "Rate exceeded", status)


def build_fault_response(fault: Fault, call: ApiCall) -> ApiResponse | None:
    """Return the response of a fault that keeps the call from taking effect; None for the other kinds."""
    if fault.kind == "throttle":
        return build_throttling_response(call)
    if fault.kind == "error":
        return call.build_error(fault.code, fault.message, fault.status)
    return None
