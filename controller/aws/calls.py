"""A call to AWS as data, the counter of calls, and the hooks that observe or disturb calls.

This module sends nothing: `aws_client` does.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from controller.errors import MoorageError

CallKind = Literal["read", "write"]

# The first words of boto3's names for operations that change nothing. `read` refuses all others, because it retries
# calls.
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
    """One call: `service` and `operation` in boto3's spelling (`ecs`, `create_service`), and its parameters."""

    kind: CallKind
    service: str
    operation: str
    params: Mapping[str, Any]

    @property
    def name(self) -> str:
        """The form `service.operation`, as in errors and counts."""
        return f"{self.service}.{self.operation}"


def is_read_only(operation: str) -> bool:
    """Return whether an operation only reads, judged by its name."""
    return operation in ("search", "verify") or operation.startswith(tuple(f"{word}_" for word in _READ_PREFIXES))


class Hook:
    """Sees every call. Fault injection, tests and traces derive from it and override what they need.

    An AwsError raised in `before` stands for a call that was never sent; one raised in `after` stands for a lost
    response. Many threads call hooks at once.
    """

    def before(self, call: AwsCall) -> None:
        """Run before the call is sent."""

    def after(self, call: AwsCall, answer: Mapping[str, Any] | MoorageError) -> None:
        """Run with the outcome: AWS's response, or the mapped error."""


class CallCounter:
    """Counts the calls that were sent, retries included. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._thread_local = threading.local()
        self._by_kind: Counter[CallKind] = Counter()
        self._by_name: Counter[str] = Counter()

    def count(self, call: AwsCall) -> None:
        """Count one call that is sent."""
        with self._lock:
            self._by_kind[call.kind] += 1
            self._by_name[call.name] += 1
        mine = vars(self._thread_local).setdefault("names", Counter())
        mine[call.name] += 1

    def counts_of_thread(self) -> Counter[str]:
        """Return the number of calls of each name that the calling thread has sent."""
        return Counter(vars(self._thread_local).get("names", {}))

    @property
    def reads(self) -> int:
        """The number of calls that only read."""
        with self._lock:
            return self._by_kind["read"]

    @property
    def writes(self) -> int:
        """The number of calls that change something."""
        with self._lock:
            return self._by_kind["write"]

    def counts_by_kind(self) -> dict[CallKind, int]:
        """Return `{"read": n, "write": n}`."""
        with self._lock:
            return {"read": self._by_kind["read"], "write": self._by_kind["write"]}

    def counts_by_name(self) -> dict[str, int]:
        """Return `{"ecs.describe_services": n, …}`, sorted by name."""
        with self._lock:
            return dict(sorted(self._by_name.items()))
