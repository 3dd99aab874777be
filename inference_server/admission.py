"""Admission control: limits how many requests wait for a prediction, and lowers the limit after an overload.

A full queue makes every request slow. Once `limit` requests wait at a time, only an eighth of them may wait until the
processor has had spare time for one second. That keeps the processor busy and latency about as low as before. All
other requests are rejected at once. A rejection costs nearly as much as an answer, so the connection pauses reading
from the clients that were rejected.
"""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic
from typing import Final

from inference_server.errors import OverloadedError

_REDUCTION: Final = 8  # divisor of the limit after an overload
_BUSY_SHARE: Final = 32  # with a thirty-second of `limit` waiting at once, no processor time is spare
_REDUCED_SECONDS: Final = 1.0


class Admission:
    """A counter of waiting requests. At most `limit` may wait at once; `clock` returns seconds."""

    def __init__(self, limit: int, clock: Callable[[], float] = monotonic) -> None:
        self._limit, self._current_limit, self._clock = limit, limit, clock
        self._reduced_limit, self._busy_threshold = max(1, limit // _REDUCTION), max(1, limit // _BUSY_SHARE)
        self._reduced_until = 0.0  # end of the reduced limit
        self.waiting = 0

    def enter(self, delayed: bool = False) -> None:
        """Admit one request; the caller must call `leave` once it is answered. Raise OverloadedError at the limit.

        `delayed` marks a request that may have waited unread for an unknown time. During an overload it can't be
        answered in time, so it is rejected.
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
            raise OverloadedError(f"{self.waiting} requests are already waiting; retry later, or on another server")
        self.waiting += 1

    def leave(self) -> None:
        """Release the place of one answered request."""
        self.waiting -= 1
