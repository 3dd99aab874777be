"""Every call of every chapter on a cloud of dictionaries: a crash there alone, with a change of mind, in pairs; and bugs."""

from __future__ import annotations

import pytest

from tests.reliability.bugs import PLANTED_BUGS
from tests.reliability.house import ControllerParts
from tests.reliability.killer import CrashMoment
from tests.reliability.matrix import CrashMatrix
from tests.reliability.story import SCENARIO

CRASH_PAIRS, SEED = 200, 20261123


@pytest.fixture(scope="module")
def matrix() -> CrashMatrix:
    return CrashMatrix(ControllerParts())


def test_the_matrix_is_whole(matrix: CrashMatrix) -> None:
    """Every chapter has points at every moment, as many as an undisturbed run of it has calls, and that run has no fault."""
    assert {(point.phase, point.moment) for point in matrix.points} == {
        (number, moment) for number in range(len(SCENARIO)) for moment in CrashMoment
    }
    calls = [len(house.crash_injector.points) for house in matrix.final_states]
    written = [len(house.crash_injector.journaled) for house in matrix.final_states]
    assert len(matrix.points) == sum(calls) * (len(CrashMoment) - 1) + sum(written)
    assert [house.invariant_violations() for house in matrix.final_states] == [[] for _ in SCENARIO]


def test_a_crash_anywhere_converges(matrix: CrashMatrix) -> None:
    """Each point by itself is hit, and the run ends in the undisturbed run's state, store included, with nothing made twice."""
    assert [fault for point in matrix.points for fault in matrix.single_crash(point)] == []


def test_a_crash_and_a_change_of_mind_leave_nothing(matrix: CrashMatrix) -> None:
    """What a crashed chapter had begun is taken back when the spec goes back, and goes when the spec goes."""
    assert [fault for point in matrix.points for fault in matrix.crash_then_spec_change(point)] == []


def test_two_crashes_anywhere_converge(matrix: CrashMatrix) -> None:
    """Two hundred seeded pairs of crashes, the second in what the first left."""
    found = list(matrix.crash_pairs(CRASH_PAIRS, SEED))
    assert found == [[]] * CRASH_PAIRS


@pytest.mark.parametrize("bug", PLANTED_BUGS)
def test_a_planted_bug_is_caught(bug: str) -> None:
    """A controller with this mistake does not come through: what the matrix finds is the mistake, for the right one has none."""
    matrix = CrashMatrix(PLANTED_BUGS[bug])
    assert any([*matrix.single_crash(point), *matrix.crash_then_spec_change(point)] for point in matrix.points)
