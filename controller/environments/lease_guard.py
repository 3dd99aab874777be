"""Working under a lease: sending nothing without it."""

from __future__ import annotations

from controller.aws.calls import AwsCall, Hook
from controller.store.lease import Lease


class LeaseGuard(Hook):
    """A door's hook: renews the lease when that is due, in the thread that does the work, and lets no write go without it."""

    def __init__(self, lease: Lease) -> None:
        self._lease = lease

    def before(self, call: AwsCall) -> None:
        """Raises LeaseLostError instead of a write that another holder's could meet."""
        if call.kind == "write" or self._lease.held:
            self._lease.renew()
