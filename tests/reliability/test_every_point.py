"""Every call of every chapter on a cloud of dictionaries: a crash there alone, with a change of mind, in pairs; and bugs."""

from __future__ import annotations

import pytest

from tests.reliability.bugs import BUGS
from tests.reliability.house import Parts
from tests.reliability.killer import Moment
from tests.reliability.matrix import Matrix
from tests.reliability.story import STORY

PAIRS, SEED = 200, 20261123


@pytest.fixture(scope="module")
def matrix() -> Matrix:
    return Matrix(Parts())


def test_the_matrix_is_whole(matrix: Matrix) -> None:
    """Every chapter has points at every moment, as many as an undisturbed run of it has calls, and that run has no fault."""
    assert {(point.chapter, point.moment) for point in matrix.points} == {
        (number, moment) for number in range(len(STORY)) for moment in Moment
    }
    calls = [len(house.killer.points) for house in matrix.ended]
    written = [len(house.killer.journaled) for house in matrix.ended]
    assert len(matrix.points) == sum(calls) * (len(Moment) - 1) + sum(written)
    assert [house.faults() for house in matrix.ended] == [[] for _ in STORY]


def test_a_crash_anywhere_converges(matrix: Matrix) -> None:
    """Each point by itself is hit, and the run ends in the undisturbed run's state, store included, with nothing made twice."""
    assert [fault for point in matrix.points for fault in matrix.alone(point)] == []


def test_a_crash_and_a_change_of_mind_leave_nothing(matrix: Matrix) -> None:
    """What a crashed chapter had begun is taken back when the spec goes back, and goes when the spec goes."""
    assert [fault for point in matrix.points for fault in matrix.of_another_mind(point)] == []


def test_two_crashes_anywhere_converge(matrix: Matrix) -> None:
    """Two hundred seeded pairs of crashes, the second in what the first left."""
    found = list(matrix.in_pairs(PAIRS, SEED))
    assert found == [[]] * PAIRS


@pytest.mark.parametrize("bug", BUGS)
def test_a_planted_bug_is_caught(bug: str) -> None:
    """A controller with this mistake does not come through: what the matrix finds is the mistake, for the right one has none."""
    matrix = Matrix(BUGS[bug])
    assert any([*matrix.alone(point), *matrix.of_another_mind(point)] for point in matrix.points)
