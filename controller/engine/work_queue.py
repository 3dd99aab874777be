"""Which keys are due, and when the others will be. Told the time, it starts nothing and waits for nothing.

A key is in it once, however often it is added, and is never handed out while it is in flight. What fails waits ever
longer; what is due longest comes first; so nothing that fails delays what doesn't.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection
from math import ceil

from controller.core.values import Key

# The pause after a first failure, in seconds; it doubles with each further one, up to the longest.
SHORTEST = 2.0
LONGEST = 300.0
# A pass holds some 300 KB for each of its specs, so that memory goes with this number and not with that of all specs.
MOST = 96


class Queue:
    """Keys and their dates.

    `clock` gives monotonic seconds; `jitter` a random number from 0 up to 1, which lengthens the pauses after failures by
    up to a quarter, so that what failed together isn't tried again together. `pace` scales all pauses: the embedded AWS is
    faster than AWS. `most` is how many keys are handed out together; while as many are in flight, none are.
    """

    def __init__(
        self, clock: Callable[[], float], jitter: Callable[[], float], *, pace: float = 1.0, most: int = MOST
    ) -> None:
        self._clock, self._jitter, self._pace, self._most = clock, jitter, pace, most
        self._due: dict[Key, float] = {}
        self._flying: set[Key] = set()
        self._again: dict[Key, float] = {}
        self._failures: Counter[Key] = Counter()

    def add(self, key: Key, after: float = 0.0) -> None:
        """Have a key looked at in so many seconds, or earlier where it is due earlier; in flight, once more after that."""
        dates = self._again if key in self._flying else self._due
        date = self._clock() + after
        dates[key] = min(date, dates.get(key, date))

    def supersede(self, key: Key) -> None:
        """Have a key looked at now, as if it had never failed: what it failed for is declared no more."""
        self._failures.pop(key, None)
        self.add(key)

    def hint(self, key: Key) -> None:
        """Have a key looked at now, unless it fails: a failure's own events must not undo its pause."""
        if not self._failures[key]:
            self.add(key)

    def take(self, but: Collection[str] = ()) -> dict[Key, float]:
        """Hand out keys that are due, those longest due first, `but` some environments', each with the date it fell due.

        Each is in flight until `finish`. More than may go together go in parts of one size: a few that are left over would
        be looked at one by one.
        """
        if self._full:
            return {}
        now = self._clock()
        due = sorted((date, key) for key, date in self._due.items() if date <= now and key.environment not in but)
        parts = ceil(len(due) / self._most) or 1
        taken = {key: date for date, key in due[: ceil(len(due) / parts)]}
        for key in taken:
            del self._due[key]
        self._flying |= taken.keys()
        return taken

    def claim(self, key: Key) -> bool:
        """Hand out one key before its date; False when it is in flight."""
        if key in self._flying:
            return False
        self._due.pop(key, None)
        self._flying.add(key)
        return True

    def finish(self, key: Key, after: float | None = None, *, failing: bool = False) -> None:
        """Take a key back. It is due again after so many seconds, None: when it is added; a failing one not before its pause."""
        self._flying.discard(key)
        if failing:
            self._failures[key] += 1
            after = max(after or 0.0, self._pause(key))
        else:
            self._failures.pop(key, None)
        if after is not None:
            self.add(key, after * self._pace)
        # What happened in flight is due from now on: what was listed before doesn't show what this flight did.
        if self._again.pop(key, None) is not None:
            self.add(key)

    def forget(self, key: Key) -> None:
        """Nothing is declared under this key any more."""
        self._due.pop(key, None)
        self._again.pop(key, None)
        self._failures.pop(key, None)

    def wait(self, but: Collection[str] = ()) -> float | None:
        """How many seconds until the next key is due, `but` some environments'; None when none is, or none is handed out."""
        if self._full:
            return None
        first = min((date for key, date in self._due.items() if key.environment not in but), default=None)
        return None if first is None else max(0.0, first - self._clock())

    @property
    def _full(self) -> bool:
        return len(self._flying) >= self._most

    @property
    def unsettled(self) -> Collection[Key]:
        """The keys that have a date or are in flight."""
        return self._due.keys() | self._flying

    @property
    def depth(self) -> int:
        """How many keys are due and not yet handed out."""
        now = self._clock()
        return sum(date <= now for date in self._due.values())

    @property
    def failing(self) -> Collection[Key]:
        """The keys whose last pass failed."""
        return self._failures.keys()

    def _pause(self, key: Key) -> float:
        doubled: float = SHORTEST * 2.0 ** min(self._failures[key] - 1, 30)
        return min(LONGEST, doubled) * (1 + self._jitter() / 4)
