"""One model's life on the embedded AWS, the controller killed at every call of it: the account ends up as if it had lived.

Each kill ends one life of the controller; the next one knows the store and AWS, and comes as far as the next point. So
all points of a moment fall into one telling of the story, each the first time it is come to. `test_every_point.py` has every
point alone, and pairs of them, on a cloud of dictionaries.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from controller.core.status import Status
from controller.reconcile import Pass
from controller.resources.base import Registry, Workshop, discover
from tests.conftest import EmbeddedAws
from tests.demo import Clients, Demo
from tests.reliability.killer import CrashedError, Journal, Killer, Moment
from tests.reliability.story import STORY
from tests.reliability.world import World, world

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]
# What a chapter ends with; all others end Ready.
REASONS = {"gate failure": "GateFailed"}
# What is made again when such a call is sent again; others leave what they left before.
MAKING = re.compile(r"\w+\.(create_(?!tags)|register_|put_image )")


@dataclass
class Told:
    """What came of a telling: the account after each chapter, and its points."""

    worlds: dict[str, World] = field(default_factory=dict)
    points: dict[str, list[str]] = field(default_factory=dict)
    journaled: dict[str, list[str]] = field(default_factory=dict)
    hit: dict[str, list[str]] = field(default_factory=dict)
    twice: dict[str, set[str]] = field(default_factory=dict)
    reasons: dict[str, set[str]] = field(default_factory=dict)
    still_planned: dict[str, list[str]] = field(default_factory=dict)
    pending: dict[str, list[str]] = field(default_factory=dict)


@dataclass
class Teller:
    """Tells the story on an emptied AWS, as often as wanted."""

    aws: EmbeddedAws
    registry: Registry
    directory: Path

    def tell(self, moment: Moment | None) -> Told:
        self.aws.admin("reset", "POST")
        killer, told = Killer(), Told()
        demo = Demo(Clients(self.aws.endpoint), self.registry, self.directory, Journal(killer), hooks=(killer,))
        for chapter in STORY:
            killer.forget()
            if moment is not None:
                killer.once_at_each(moment)
            done = survive(chapter.begin(demo))
            killer.rest()
            self._note(told, chapter.name, killer, demo, done)
        return told

    def _note(self, told: Told, name: str, killer: Killer, demo: Demo, done: Pass) -> None:
        told.points[name], told.journaled[name], told.hit[name] = killer.points, killer.journaled, killer.hit
        told.twice[name] = {point for point, sent in killer.sent.items() if sent > 1 and MAKING.match(point)}
        told.reasons[name] = {reason(status) for status in done.statuses}
        told.still_planned[name] = [f"{step.action} {step.node.key}" for step in demo.survey().plan.steps]
        records = demo.store.records(demo.environment)
        told.pending[name] = [str(record.key) for record in records if record.pending is not None]
        told.worlds[name] = world(demo.door())


def survive(life: Callable[[], Pass], most: int = 200) -> Pass:
    """One life after the other, until one comes to its end."""
    for _ in range(most):
        try:
            return life()
        except CrashedError:
            continue
    raise AssertionError(f"killed {most} times and still not done")


def reason(status: Status) -> str:
    found = status.condition("Ready")
    return found.reason if found else ""


@pytest.fixture(scope="module")
def teller(idle_aws: EmbeddedAws, workshop: Workshop, tmp_path_factory: pytest.TempPathFactory) -> Teller:
    return Teller(idle_aws, discover(workshop), tmp_path_factory.mktemp("specs"))


@pytest.fixture(scope="module")
def undisturbed(teller: Teller) -> Told:
    """The story as nobody interrupts it."""
    return teller.tell(None)


def test_undisturbed_every_chapter_ends_well(undisturbed: Told) -> None:
    """What the killed ones are compared with: each chapter comes to its end, does something, and leaves nothing open."""
    for chapter in STORY:
        assert REASONS.get(chapter.name, "Reconciled") in undisturbed.reasons[chapter.name]
        assert undisturbed.still_planned[chapter.name] == []
        assert len(undisturbed.points[chapter.name]) >= 2
    assert sum(map(len, undisturbed.points.values())) > 100
    worlds = [undisturbed.worlds[chapter.name] for chapter in STORY]
    assert all(before != after for before, after in itertools.pairwise(worlds))


def test_pruned_only_what_the_environment_shares_is_left(undisturbed: Told) -> None:
    """After the last chapter nothing of the model is in the account but its finished jobs and what they wrote."""
    left = undisturbed.worlds["prune"]
    assert not any(
        "housing-model" in str(items)
        for name, items in left.items()
        if name not in ("jobs", "objects", "INACTIVE definitions")
    )
    assert all(key.startswith("training/") for key, _ in left["objects"])


@pytest.mark.parametrize("moment", Moment, ids=lambda moment: moment.name.lower())
def test_killed_at_every_call_it_ends_as_undisturbed(moment: Moment, teller: Teller, undisturbed: Told) -> None:
    """Every point is hit, each chapter's account equals the undisturbed one's, nothing is made twice or left open."""
    told = teller.tell(moment)
    expected = undisturbed.journaled if moment is Moment.UNWRITTEN else undisturbed.points
    for chapter in STORY:
        name = chapter.name
        assert set(told.hit[name]) == set(expected[name])
        assert _differing(told.worlds[name], undisturbed.worlds[name]) == {}
        assert told.reasons[name] == undisturbed.reasons[name]
        assert (told.twice[name], told.still_planned[name], told.pending[name]) == (set(), [], [])


def _differing(found: World, expected: World) -> dict[str, Any]:
    return {name: (found[name], items) for name, items in expected.items() if found[name] != items}
