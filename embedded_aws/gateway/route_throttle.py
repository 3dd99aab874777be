"""Token buckets that limit how often a route may be called.

Source: API Gateway developer guide, "Throttle requests to your HTTP APIs". Each request takes a token, the rate refills
the bucket, and the burst is its size. The stage's default limit holds for each route without a limit of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class RateLimit:
    """A limit: `rate` in requests per second, `burst` in requests."""

    rate: float
    burst: int


class RouteThrottle:
    """The token buckets of all routes. Not thread-safe: the data plane's event loop owns it."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._buckets: dict[tuple[str, ...], tuple[RateLimit, float, float]] = {}

    def try_acquire(self, key: tuple[str, ...], limit: RateLimit | None) -> bool:
        """Take a token for the route `key`. Return False when there is none.

        A changed limit starts with a full bucket.
        """
        if limit is None:
            return True
        now = self._clock()
        known, tokens, since = self._buckets.get(key, (limit, float(limit.burst), now))
        if known != limit:
            tokens = float(limit.burst)
        tokens = min(float(limit.burst), tokens + (now - since) * limit.rate)
        allowed = tokens >= 1.0
        self._buckets[key] = (limit, tokens - 1.0 if allowed else tokens, now)
        return allowed
