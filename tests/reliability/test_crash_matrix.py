"""Every call of every chapter on a cloud of dictionaries: a crash there alone, with a change of mind, in pairs.

And bugs.
"""

from __future__ import annotations

import pytest

from tests.reliability.crash_injection import CrashMoment
from tests.reliability.crash_matrix import CrashMatrix
from tests.reliability.harness import ControllerParts
from tests.reliability.planted_bugs import PLANTED_BUGS
from tests.reliability.scenario import SCENARIO

CRASH_PAIRS, SEED = 200, 20261123


@pytest.fixture(scope="module")
def crash_matrix() -> CrashMatrix:
    return CrashMatrix(ControllerParts())


def test_matrix_covers_every_call(crash_matrix: CrashMatrix) -> None:
    """Every chapter has points at every moment, as many as an undisturbed run of it has calls, and that run has no
    fault.
    """
    assert {(point.phase, point.moment) for point in crash_matrix.points} == {
        (number, moment) for number in range(len(SCENARIO)) for moment in CrashMoment
    }
    calls = [len(simulation.crash_injector.points) for simulation in crash_matrix.final_states]
    written = [len(simulation.crash_injector.journaled) for simulation in crash_matrix.final_states]
    assert len(crash_matrix.points) == sum(calls) * (len(CrashMoment) - 1) + sum(written)
    assert [simulation.invariant_violations() for simulation in crash_matrix.final_states] == [[] for _ in SCENARIO]


def test_a_crash_anywhere_converges(crash_matrix: CrashMatrix) -> None:
    """Each point by itself is hit, and the run ends in the undisturbed run's state, store included, with nothing made
    twice.
    """
    assert [fault for point in crash_matrix.points for fault in crash_matrix.single_crash(point)] == []


def test_crash_then_spec_change_leaves_nothing_behind(crash_matrix: CrashMatrix) -> None:
    """What a crashed chapter had begun is taken back when the spec goes back, and goes when the spec goes."""
    assert [fault for point in crash_matrix.points for fault in crash_matrix.crash_then_spec_change(point)] == []


def test_two_crashes_anywhere_converge(crash_matrix: CrashMatrix) -> None:
    """Two hundred seeded pairs of crashes, the second in what the first left."""
    found = list(crash_matrix.crash_pairs(CRASH_PAIRS, SEED))
    assert found == [[]] * CRASH_PAIRS


@pytest.mark.parametrize("bug", PLANTED_BUGS)
def test_a_planted_bug_is_caught(bug: str) -> None:
    """A controller with this mistake does not come through: what the matrix finds is the mistake, for the right one has
    none.
    """
    matrix = CrashMatrix(PLANTED_BUGS[bug])
    assert any([*matrix.single_crash(point), *matrix.crash_then_spec_change(point)] for point in matrix.points)
