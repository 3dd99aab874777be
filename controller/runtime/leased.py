"""Working under a lease: taking it with patience, and sending nothing without it."""

from __future__ import annotations

from controller.aws.calls import Call, Hook
from controller.errors import LeaseHeldError
from controller.runtime.once import Clock
from controller.store.lease import Lease

# How often a lease is asked for again while its holder is alive.
_POLL = 5.0


def acquire(lease: Lease, clock: Clock, *, patience: float = 0.0) -> None:
    """Take a lease: wait as long as its holder may be dead, and `patience` seconds for one that is alive.

    Raises LeaseHeldError.
    """
    deadline = clock.now() + patience
    while True:
        try:
            lease.acquire()
        except LeaseHeldError as held:
            if held.retry_after is None and clock.now() >= deadline:
                raise
            clock.sleep(held.retry_after or _POLL)
        else:
            return


def keeping(lease: Lease, clock: Clock) -> Clock:
    """The clock, with a sleep that keeps the lease meanwhile. It raises LeaseLostError."""

    def sleep(seconds: float) -> None:
        end = clock.now() + seconds
        while (left := end - clock.now()) > 0:
            lease.keep()
            clock.sleep(min(left, _POLL))
        lease.keep()

    return Clock(clock.now, sleep)


class UnderLease(Hook):
    """A door's hook: renews the lease when that is due, in the thread that does the work, and lets no write go without it."""

    def __init__(self, lease: Lease) -> None:
        self._lease = lease

    def before(self, call: Call) -> None:
        """Raises LeaseLostError instead of a write that another holder's could meet."""
        if call.kind == "write" or self._lease.held:
            self._lease.keep()
