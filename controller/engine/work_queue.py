"""The work queue: which keys are due, and when the others will be. It starts nothing and waits for nothing.

A key is queued once, however often it is added, and is never handed out while it is in flight. A failing key waits ever
longer, and the key that is due longest comes first, so failing keys don't delay healthy ones.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection
from math import ceil

from controller.core.values import Key

# The pause after a first failure, in seconds. Each further failure doubles it, up to the longest.
SHORTEST = 2.0
LONGEST = 300.0
# A pass holds some 300 KB for each of its specs: this limit bounds memory, whatever the number of specs.
MOST = 96


class Queue:
    """Keys and their due dates.

    `clock` returns monotonic seconds. `jitter` returns a random number in [0, 1), which lengthens the pauses after
    failures by up to a quarter: keys that failed together aren't retried together. `pace` scales all pauses: the
    embedded AWS is faster than AWS. At most `most` keys are handed out together; while that many are in flight, none
    are.
    """

    def __init__(
        self, clock: Callable[[], float], jitter: Callable[[], float], *, pace: float = 1.0, most: int = MOST
    ) -> None:
        self.clock, self._jitter, self._pace, self._most = clock, jitter, pace, most
        self._due: dict[Key, float] = {}
        self._in_flight: set[Key] = set()
        self._added_in_flight: dict[Key, float] = {}
        self._failures: Counter[Key] = Counter()

    def add(self, key: Key, after: float = 0.0) -> None:
        """Make a key due in so many seconds, unless it is due earlier. A key in flight becomes due again afterwards."""
        dates = self._added_in_flight if key in self._in_flight else self._due
        date = self.clock() + after
        dates[key] = min(date, dates.get(key, date))

    def supersede(self, key: Key) -> None:
        """Make a key due now and forget its failures: they concerned an earlier declaration."""
        self._failures.pop(key, None)
        self.add(key)

    def hint(self, key: Key) -> None:
        """Make a key due now, unless it is failing: the events of its own failure must not end its pause."""
        if not self._failures[key]:
            self.add(key)

    def take(self, but: Collection[str] = ()) -> dict[Key, float]:
        """Hand out the keys that are due, longest due first, each with its due date; skip the environments in `but`.

        Each is in flight until `finish`. More keys than the limit are handed out in parts of equal size: a small
        remainder would be read one by one.
        """
        if self._full:
            return {}
        now = self.clock()
        due = sorted((date, key) for key, date in self._due.items() if date <= now and key.environment not in but)
        parts = ceil(len(due) / self._most) or 1
        taken = {key: date for date, key in due[: ceil(len(due) / parts)]}
        for key in taken:
            del self._due[key]
        self._in_flight |= taken.keys()
        return taken

    def claim(self, key: Key) -> bool:
        """Hand out one key before its due date. Returns False if it is in flight already."""
        if key in self._in_flight:
            return False
        self._due.pop(key, None)
        self._in_flight.add(key)
        return True

    def finish(self, key: Key, after: float | None = None, *, failing: bool = False) -> None:
        """Take a key back. It is due again after so many seconds; with None, once it is added.

        A failing key is due after its pause at the earliest.
        """
        self._in_flight.discard(key)
        if failing:
            self._failures[key] += 1
            after = max(after or 0.0, self._pause(key))
        else:
            self._failures.pop(key, None)
        if after is not None:
            self.add(key, after * self._pace)
        # A key added in flight is due from now on: an earlier listing doesn't show what this pass changed.
        if self._added_in_flight.pop(key, None) is not None:
            self.add(key)

    def forget(self, key: Key) -> None:
        """Drop a key that is no longer declared."""
        self._due.pop(key, None)
        self._added_in_flight.pop(key, None)
        self._failures.pop(key, None)

    def wait(self, but: Collection[str] = ()) -> float | None:
        """Return the seconds until the next key is due, except those of the environments in `but`.

        Returns None if no key has a due date, or if the limit of keys in flight is reached.
        """
        if self._full:
            return None
        first = min((date for key, date in self._due.items() if key.environment not in but), default=None)
        return None if first is None else max(0.0, first - self.clock())

    @property
    def _full(self) -> bool:
        return len(self._in_flight) >= self._most

    @property
    def unsettled(self) -> Collection[Key]:
        """The keys that have a due date or are in flight."""
        return self._due.keys() | self._in_flight

    @property
    def depth(self) -> int:
        """The number of keys that are due and not handed out yet."""
        now = self.clock()
        return sum(date <= now for date in self._due.values())

    @property
    def failing(self) -> Collection[Key]:
        """The keys whose last pass failed."""
        return self._failures.keys()

    def _pause(self, key: Key) -> float:
        doubled: float = SHORTEST * 2.0 ** min(self._failures[key] - 1, 30)
        return min(LONGEST, doubled) * (1 + self._jitter() / 4)
