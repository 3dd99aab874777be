"""What AWS returned for writes that its reads may not show yet.

Soon after a change, a read of ECS, EC2 or IAM may show the state before it. If Moorage trusted it, it would make the
same change again: a second revision of a task definition, one more rollout, drift that no one caused. So for a while a
read that shows the state before a write, or one on the way from there, is replaced by what AWS returned for the write.
A step may take several calls: a security group exists before its rules do. Every other read is trusted.

ECS: https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_RunTask.html
EC2: https://docs.aws.amazon.com/ec2/latest/devguide/eventual-consistency.html
IAM: https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot.html#troubleshoot_general_eventual-consistency
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from controller.core.graph import Observed
from controller.core.values import Key, Value

_EVENTUALLY_CONSISTENT = ("ecs/", "ec2/", "iam/")
# After so many seconds a read is trusted, whatever it shows: others may have undone the change.
_MAX_AGE_SECONDS = 60.0
# The same, counted from the first read that showed the change: another server may still answer with the old state.
_SETTLE_SECONDS = 10.0


@dataclass(frozen=True)
class _Mutation:
    """The object before the writes that aren't shown yet (None: absent), and the object after the last of them."""

    before: tuple[Observed | None, ...]
    after: Observed
    expires_at: float
    confirmed: bool = False

    def is_stale_read(self, observed: Observed | None) -> bool:
        """Return whether a read shows the state before the writes, or one between them."""
        if observed is None or _has_same_fields(observed, self.after):
            return observed is None and None in self.before
        return _is_intermediate(observed.fields, [before.fields for before in self.before if before], self.after.fields)


class MutationCache:
    """The last writes of one process to one environment. Thread-safe; `clock` returns monotonic seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._mutations: dict[Key, _Mutation] = {}

    def add(self, key: Key, before: Observed | None, after: Observed) -> None:
        """Remember what AWS returned for a write, and the object that was known before it."""
        if not key.kind.startswith(_EVENTUALLY_CONSISTENT) or _has_same_fields(before, after):
            return
        with self._lock:
            now = self._clock()
            known = self._mutations.pop(key, None)
            earlier = known.before if known else ()
            # The oldest writes expire first; after a thousand specs most have expired.
            while self._mutations and (first := next(iter(self._mutations.items())))[1].expires_at <= now:
                del self._mutations[first[0]]
            self._mutations[key] = _Mutation((*earlier, before), after, now + _MAX_AGE_SECONDS)

    def apply_to(self, key: Key, observed: Observed | None) -> Observed | None:
        """Return the object to trust when a read shows this one."""
        with self._lock:
            write, now = self._mutations.get(key), self._clock()
            if write is None:
                return observed
            if now >= write.expires_at:
                del self._mutations[key]
                return observed
            if write.is_stale_read(observed):
                return write.after
            self._mutations[key] = replace(
                write, expires_at=min(write.expires_at, now + _SETTLE_SECONDS), confirmed=True
            )
            return observed

    def apply_to_all(self, keys: Iterable[Key], observed: Mapping[Key, Observed]) -> dict[Key, Observed]:
        """Return the object to trust for each key; absent objects are left out, as they are in a read."""
        reported = ((key, self.apply_to(key, observed.get(key))) for key in keys)
        return {key: found for key, found in reported if found is not None}

    def is_unconfirmed(self, key: Key) -> bool:
        """Return whether no read has shown the last write yet."""
        with self._lock:
            write = self._mutations.get(key)
            return write is not None and not write.confirmed and self._clock() < write.expires_at

    def forget(self, key: Key) -> None:
        """Forget a deleted object."""
        with self._lock:
            self._mutations.pop(key, None)


def _is_intermediate(observed: Value, before: Sequence[Value], after: Value) -> bool:
    """Return whether a value consists only of parts of the states before and after; absent equals empty."""
    if observed == after or observed in before:
        return True
    ends = (*before, after)
    if isinstance(observed, Mapping):
        maps = [end if isinstance(end, Mapping) else {} for end in ends]
        return all(
            _is_intermediate(value, [old.get(name) for old in maps[:-1]], maps[-1].get(name))
            for name, value in observed.items()
        )
    if isinstance(observed, list | tuple):
        known = [item for end in ends if isinstance(end, list | tuple) for item in end]
        return all(item in known for item in observed)
    return False


def _has_same_fields(one: Observed | None, other: Observed | None) -> bool:
    """Return whether both are absent or have the same fields; outputs also change with the progress of a rollout."""
    if one is None or other is None:
        return one is other
    return one.fields == other.fields
