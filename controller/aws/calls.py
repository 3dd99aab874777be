"""One call to AWS as data, the count of all of them, and the hooks that watch or disturb them.

Nothing here sends anything: `door` does.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from controller.errors import MoorageError

CallKind = Literal["read", "write"]

# First words of boto3's names for operations that change nothing. `read` refuses all others, since it repeats calls.
_READ_PREFIXES = (
    "describe",
    "get",
    "list",
    "head",
    "batch_get",
    "batch_check",
    "search",
    "discover",
    "simulate",
    "lookup",
    "filter",
    "verify",
)


@dataclass(frozen=True)
class AwsCall:
    """One call: `service` and `operation` as boto3 spells them (`ecs`, `create_service`), and its parameters."""

    kind: CallKind
    service: str
    operation: str
    params: Mapping[str, Any]

    @property
    def name(self) -> str:
        """`service.operation`, as errors and counts show it."""
        return f"{self.service}.{self.operation}"


def is_read_only(operation: str) -> bool:
    """Tell by its name whether an operation only reads."""
    return operation in ("search", "verify") or operation.startswith(tuple(f"{word}_" for word in _READ_PREFIXES))


class Hook:
    """Sees every call. Faults, tests and traces derive from it and override what they need.

    An AwsError raised in `before` stands for a call that was never sent, one raised in `after` for an answer that got
    lost. Hooks are called by many threads at once.
    """

    def before(self, call: AwsCall) -> None:
        """Run before the call is sent."""

    def after(self, call: AwsCall, answer: Mapping[str, Any] | MoorageError) -> None:
        """Run with what came back: AWS's answer, or the error it was mapped to."""


class CallCounter:
    """How many calls were sent, repeats included. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._thread_local = threading.local()
        self._by_kind: Counter[CallKind] = Counter()
        self._by_name: Counter[str] = Counter()

    def count(self, call: AwsCall) -> None:
        """Count one call that goes out."""
        with self._lock:
            self._by_kind[call.kind] += 1
            self._by_name[call.name] += 1
        mine = vars(self._thread_local).setdefault("names", Counter())
        mine[call.name] += 1

    def counts_of_thread(self) -> Counter[str]:
        """How many calls of each name the calling thread has sent so far."""
        return Counter(vars(self._thread_local).get("names", {}))

    @property
    def reads(self) -> int:
        """Calls that only read."""
        with self._lock:
            return self._by_kind["read"]

    @property
    def writes(self) -> int:
        """Calls that change something."""
        with self._lock:
            return self._by_kind["write"]

    def counts_by_kind(self) -> dict[CallKind, int]:
        """`{"read": n, "write": n}`."""
        with self._lock:
            return {"read": self._by_kind["read"], "write": self._by_kind["write"]}

    def counts_by_name(self) -> dict[str, int]:
        """`{"ecs.describe_services": n, …}`, sorted by name."""
        with self._lock:
            return dict(sorted(self._by_name.items()))
