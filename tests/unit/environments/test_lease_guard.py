"""Work under a lease: no write without it."""

from __future__ import annotations

import pytest

from controller.aws.calls import AwsCall
from controller.environments.lease_guard import LeaseGuard
from controller.errors import LeaseLostError

READ, WRITE = AwsCall("read", "ecs", "describe_services", {}), AwsCall("write", "ecs", "create_service", {})


class CountingLease:
    """A lease that counts its renewals."""

    held, renewals = False, 0

    def acquire(self) -> None:
        self.held = True

    def renew(self) -> None:
        self.renewals += 1
        if not self.held:
            raise LeaseLostError("gone")

    def release(self) -> None:
        self.held = False


def test_no_write_goes_without_the_lease() -> None:
    """Reads go with or without it, and renew it where there is one."""
    lease = CountingLease()
    hook = LeaseGuard(lease)
    hook.before(READ)
    assert lease.renewals == 0
    with pytest.raises(LeaseLostError):
        hook.before(WRITE)
    lease.held = True
    hook.before(READ)
    hook.before(WRITE)
    assert lease.renewals == 3
