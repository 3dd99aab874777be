"""Send no write to AWS without the lease."""

from __future__ import annotations

from controller.aws.calls import AwsCall, Hook
from controller.store.lease import Lease


class LeaseGuard(Hook):
    """A hook of AWS clients that renews the lease when due, in the working thread, and stops writes without it."""

    def __init__(self, lease: Lease) -> None:
        self._lease = lease

    def before(self, call: AwsCall) -> None:
        """Raise LeaseLostError before a write that could collide with another holder's."""
        if call.kind == "write" or self._lease.held:
            self._lease.renew()
