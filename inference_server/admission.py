"""Who may wait for a prediction: so many at most, and far fewer for a while once there were too many.

A full queue answers nobody quickly. So once `most` requests have met, only an eighth of them may wait at a time until
there has been room for a second: enough to keep the processor busy, and few enough to be answered about as quickly as
ever. Everybody else is told at once to come back later. A refusal costs nearly as much as an answer; that it doesn't
take the answers' time is for the connection to see to, which doesn't listen for a while to whom it has refused.
"""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic
from typing import Final

from inference_server.errors import OverloadedError

_REDUCTION: Final = 8
_BUSY_SHARE: Final = 32  # with a thirty-second of `most` waiting at once there is no processor time to spare
_REDUCED_SECONDS: Final = 1.0  # seconds


class Admission:
    """Counts who waits. `most` may wait at once; `clock` gives seconds."""

    def __init__(self, limit: int, clock: Callable[[], float] = monotonic) -> None:
        self._limit, self._reduced_limit, self._busy_threshold = (
            limit,
            max(1, limit // _REDUCTION),
            max(1, limit // _BUSY_SHARE),
        )
        self._current_limit, self._clock = limit, clock
        self._reduced_until = 0.0  # when the lower limit ends
        self.waiting = 0

    def enter(self, delayed: bool = False) -> None:
        """Let one more wait, who has to `leave`. Raise OverloadedError, at once, rather than let all wait ever longer.

        `late` is who may have waited already, nobody knows how long: in a crowd there is no answering them in time.
        """
        if self._current_limit < self._limit:
            now = self._clock()
            if self.waiting >= self._busy_threshold:
                self._reduced_until = now + _REDUCED_SECONDS
            elif now > self._reduced_until:
                self._current_limit = self._limit
        if self.waiting >= self._current_limit or (delayed and self._current_limit < self._limit):
            if not delayed:
                self._current_limit, self._reduced_until = self._reduced_limit, self._clock() + _REDUCED_SECONDS
            raise OverloadedError(f"{self.waiting} requests wait already; try again soon, or elsewhere")
        self.waiting += 1

    def leave(self) -> None:
        """Note that one has been answered."""
        self.waiting -= 1
