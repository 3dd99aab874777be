"""Who may wait: up to the bound all may; once it is met, few, until there has been room for a while."""

from __future__ import annotations

from inference_server.admission import Admission
from inference_server.errors import OverloadedError


class Clock:
    """A clock that the test sets."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def fill(admission: Admission, late: bool = False) -> int:
    """Let in as many as may; give how many came in."""
    count = 0
    while True:
        try:
            admission.enter(late)
        except OverloadedError:
            return count
        count += 1


def empty(admission: Admission) -> None:
    while admission.waiting:
        admission.leave()


def test_the_bound_and_the_lower_one() -> None:
    """64 may wait; after one too many, 8 at a time, as long as the processor has no time to spare; after a second, 64."""
    clock = Clock()
    admission = Admission(64, clock)
    assert fill(admission) == 64
    empty(admission)
    for _ in range(10):
        clock.now += 0.9
        assert fill(admission) == 8
        empty(admission)
    clock.now += 1.1
    assert fill(admission) == 64


def test_room_ends_it_whoever_is_refused() -> None:
    """Requests one by one, and late ones that are refused, don't prolong what a crowd began."""
    clock = Clock()
    admission = Admission(64, clock)
    fill(admission)
    empty(admission)
    for _ in range(10):
        clock.now += 0.09
        admission.enter()
        admission.leave()
        assert fill(admission, late=True) == 0
    clock.now += 0.2
    assert fill(admission, late=True) == 64


def test_late_ones_are_welcome_where_there_is_no_crowd() -> None:
    """Without a crowd a late request is one like any other, and one too many of them is refused alone."""
    admission = Admission(64, Clock())
    assert fill(admission, late=True) == 64
    admission.leave()
    assert fill(admission) == 1


def test_a_bound_of_one() -> None:
    """The least bound there is lets one in, then and afterwards."""
    clock = Clock()
    admission = Admission(1, clock)
    for _ in range(3):
        assert fill(admission) == 1
        empty(admission)
        clock.now += 0.1
