"""Who may wait: up to the bound all may; once it is met, few, until there has been room for a while."""

from __future__ import annotations

from inference_server.admission import Admission
from inference_server.errors import OverloadedError


class ManualClock:
    """A clock that the test sets."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def fill_to_limit(admission: Admission, delayed: bool = False) -> int:
    """Let in as many as may; give how many came in."""
    count = 0
    while True:
        try:
            admission.enter(delayed)
        except OverloadedError:
            return count
        count += 1


def release_all(admission: Admission) -> None:
    while admission.waiting:
        admission.leave()


def test_limit_is_reduced_after_an_overload_and_restored_when_idle() -> None:
    """64 may wait; after one too many, 8 at a time, as long as the processor has no time to spare.

    After a second, 64.
    """
    clock = ManualClock()
    admission = Admission(64, clock)
    assert fill_to_limit(admission) == 64
    release_all(admission)
    for _ in range(10):
        clock.now += 0.9
        assert fill_to_limit(admission) == 8
        release_all(admission)
    clock.now += 1.1
    assert fill_to_limit(admission) == 64


def test_refused_delayed_requests_do_not_prolong_the_reduced_limit() -> None:
    """Requests one by one, and late ones that are refused, don't prolong what a crowd began."""
    clock = ManualClock()
    admission = Admission(64, clock)
    fill_to_limit(admission)
    release_all(admission)
    for _ in range(10):
        clock.now += 0.09
        admission.enter()
        admission.leave()
        assert fill_to_limit(admission, delayed=True) == 0
    clock.now += 0.2
    assert fill_to_limit(admission, delayed=True) == 64


def test_delayed_requests_are_admitted_without_overload() -> None:
    """Without a crowd a late request is one like any other, and one too many of them is refused alone."""
    admission = Admission(64, ManualClock())
    assert fill_to_limit(admission, delayed=True) == 64
    admission.leave()
    assert fill_to_limit(admission) == 1


def test_limit_of_one_admits_one() -> None:
    """The least bound there is lets one in, then and afterwards."""
    clock = ManualClock()
    admission = Admission(1, clock)
    for _ in range(3):
        assert fill_to_limit(admission) == 1
        release_all(admission)
        clock.now += 0.1
