"""The right to change an environment's resources: one protocol, a file on one machine or an object in a bucket behind it.

Taking a lease never waits inside: whether a silent holder is dead takes a minute to find out, and who asks decides
whether to sleep, to serve something else, or to give up.
"""

from __future__ import annotations

from typing import Protocol


class Lease(Protocol):
    """One holder at a time. Any thread may call; every call returns within a request's time."""

    def acquire(self) -> None:
        """Take it; fine if it is held already.

        Raises LeaseHeldError, which names the holder. Where its `retry_after` is a number, asking again after so many
        seconds can end differently without the holder's doing: it may be dead. Raises StoreError or AwsError.
        """

    def renew(self) -> None:
        """Renew it if that is due. Returns when one more call may be sent; to be called before each.

        Raises LeaseLostError: nothing may be sent any more until it is acquired again.
        """

    @property
    def held(self) -> bool:
        """Whether one more call may be sent. Asks nobody."""

    def release(self) -> None:
        """Give it back; fine if it isn't held."""
