"""Work under a lease: patience with a holder who may be dead, and no write without the lease."""

from __future__ import annotations

import pytest

from controller.aws.calls import Call
from controller.errors import LeaseHeldError, LeaseLostError
from controller.runtime.leased import UnderLease, acquire, keeping
from controller.runtime.once import Clock

READ, WRITE = Call("read", "ecs", "describe_services", {}), Call("write", "ecs", "create_service", {})


class Time:
    """Time that passes by sleeping."""

    def __init__(self) -> None:
        self.now = 0.0
        self.clock = Clock(lambda: self.now, self.sleep)

    def sleep(self, seconds: float) -> None:
        assert seconds > 0
        self.now += seconds


class Scripted:
    """A lease that answers as it is told: with an error, or with nothing."""

    def __init__(self, *answers: LeaseHeldError | None, held: bool = False) -> None:
        self.answers, self.held, self.kept = list(answers), held, 0

    def acquire(self) -> None:
        answer = self.answers.pop(0)
        if answer is not None:
            raise answer
        self.held = True

    def keep(self) -> None:
        self.kept += 1
        if not self.held:
            raise LeaseLostError("gone")

    def release(self) -> None:
        self.held = False


def alive() -> LeaseHeldError:
    return LeaseHeldError("held")


def silent() -> LeaseHeldError:
    return LeaseHeldError("held, perhaps", retry_after=7)


def test_a_living_holder_is_believed_at_once():
    """Without patience there is no second question."""
    time, lease = Time(), Scripted(alive(), None)
    with pytest.raises(LeaseHeldError):
        acquire(lease, time.clock)
    assert (time.now, len(lease.answers)) == (0, 1)


def test_a_silent_holder_is_waited_for():
    """As long as it may be dead, at the pace that the lease names."""
    time, lease = Time(), Scripted(silent(), silent(), None)
    acquire(lease, time.clock)
    assert (lease.held, time.now) == (True, 14)


def test_patience_outlasts_a_living_holder_and_ends():
    """A loop on standby takes over when the holder lets go; one that never does ends the patience."""
    time, lease = Time(), Scripted(*(alive() for _ in range(3)), None)
    acquire(lease, time.clock, patience=60)
    assert lease.held
    with pytest.raises(LeaseHeldError):
        acquire(Scripted(*(alive() for _ in range(100))), time.clock, patience=60)


def test_a_long_sleep_keeps_the_lease():
    """It sleeps in pieces and renews between; when the lease is lost it wakes early, in an error."""
    time, lease = Time(), Scripted(held=True)
    keeping(lease, time.clock).sleep(22)
    assert (time.now, lease.kept) == (22, 6)
    lease.held = False
    with pytest.raises(LeaseLostError):
        keeping(lease, time.clock).sleep(22)
    assert time.now == 22


def test_no_write_goes_without_the_lease():
    """Reads go with or without it, and renew it where there is one."""
    lease = Scripted()
    hook = UnderLease(lease)
    hook.before(READ)
    assert lease.kept == 0
    with pytest.raises(LeaseLostError):
        hook.before(WRITE)
    lease.held = True
    hook.before(READ)
    hook.before(WRITE)
    assert lease.kept == 3
