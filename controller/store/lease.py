"""The right to change an environment's resources: one protocol, implemented by a local file or an object in a bucket.

Taking a lease never waits: it takes a minute to find out whether a silent holder is dead. The caller decides whether to
sleep, to serve something else, or to give up.
"""

from __future__ import annotations

from typing import Protocol


class Lease(Protocol):
    """A lease with one holder at a time. Any thread may call; every call returns within a request's time."""

    def acquire(self) -> None:
        """Take the lease; fine if it is held already.

        Raises LeaseHeldError, which names the holder. If its `retry_after` is a number, another attempt after so many
        seconds can succeed without the holder's doing: the holder may be dead. Raises StoreError or AwsError.
        """

    def renew(self) -> None:
        """Renew the lease if that is due. Called before each call to AWS; on return one more call may be sent.

        Raises LeaseLostError: no call may be sent until the lease is acquired again.
        """

    @property
    def held(self) -> bool:
        """Whether one more call may be sent. Sends no request itself."""

    def release(self) -> None:
        """Release the lease; fine if it isn't held."""
