"""What AWS answered to writes that its reads may not show yet.

Soon after a change, a read of ECS, EC2 or IAM may show what was true before it. Taken for the truth, it would have the
same change made again: a second revision of a task definition, one more rollout, drift that nobody caused. So for a while
a read that shows what was there before a write, or something on the way from there, gives way to what AWS answered: a
step may take several calls, and a security group is there before its rules are. Whatever else is read is the truth.

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
# After so many seconds a read counts, whatever it shows: somebody may have undone the change.
_MAX_AGE_SECONDS = 60.0
# And after so many once the change was shown: another read may still be answered from elsewhere.
_SETTLE_SECONDS = 10.0


@dataclass(frozen=True)
class _Mutation:
    """What was there before the writes that aren't shown yet (None: nothing), and what is there since the last one."""

    before: tuple[Observed | None, ...]
    after: Observed
    expires_at: float
    confirmed: bool = False

    def is_stale_read(self, observed: Observed | None) -> bool:
        """Whether a read shows what was there before, or something on the way."""
        if observed is None or _has_same_fields(observed, self.after):
            return observed is None and None in self.before
        return _is_intermediate(observed.fields, [before.fields for before in self.before if before], self.after.fields)


class MutationCache:
    """The last writes of one process to one environment. Safe for many threads; `clock` gives monotonic seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._mutations: dict[Key, _Mutation] = {}

    def add(self, key: Key, before: Observed | None, after: Observed) -> None:
        """Remember what AWS answered to a write, and what was known to be there before it."""
        if not key.kind.startswith(_EVENTUALLY_CONSISTENT) or _has_same_fields(before, after):
            return
        with self._lock:
            now = self._clock()
            known = self._mutations.pop(key, None)
            earlier = known.before if known else ()
            # What was written first is over first, and after a thousand specs most of it is.
            while self._mutations and (first := next(iter(self._mutations.items())))[1].expires_at <= now:
                del self._mutations[first[0]]
            self._mutations[key] = _Mutation((*earlier, before), after, now + _MAX_AGE_SECONDS)

    def apply_to(self, key: Key, observed: Observed | None) -> Observed | None:
        """What to take for true when a read shows this."""
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
        """What to take for true of each key; what isn't there is left out, as it is in what a read shows."""
        told = ((key, self.apply_to(key, observed.get(key))) for key in keys)
        return {key: found for key, found in told if found is not None}

    def is_unconfirmed(self, key: Key) -> bool:
        """Whether what was written last wasn't shown by a read so far."""
        with self._lock:
            write = self._mutations.get(key)
            return write is not None and not write.confirmed and self._clock() < write.expires_at

    def forget(self, key: Key) -> None:
        """It is removed: nothing of it is to be shown any more."""
        with self._lock:
            self._mutations.pop(key, None)


def _is_intermediate(observed: Value, before: Sequence[Value], after: Value) -> bool:
    """Whether a value is made of nothing but what was there before and what is there after; absent is as good as empty."""
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
    """Whether both are absent or have the same fields; outputs also tell of a rollout's progress."""
    if one is None or other is None:
        return one is other
    return one.fields == other.fields
