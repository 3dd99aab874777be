"""Every point of every chapter, alone; with a change of mind after it; and in pairs. Each gives what it finds wrong."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

from tests.demo import Model, UnsettledError
from tests.reliability.house import House, Parts
from tests.reliability.killer import CrashedError, Moment
from tests.reliability.story import STORY


@dataclass(frozen=True)
class Point:
    """Where a crash falls: the chapter's number, when, and at which call."""

    chapter: int
    moment: Moment
    call: str

    def __str__(self) -> str:
        return f"{STORY[self.chapter].name}, {self.call}: {self.moment}"


@dataclass
class Matrix:
    """The chapters, each begun in a house of these parts in which all before it went well."""

    parts: Parts

    def __post_init__(self) -> None:
        self.begun: list[House] = []
        self.points: list[Point] = []
        self.ended: list[House] = []
        house = House(self.parts)
        for number, chapter in enumerate(STORY):
            self.begun.append(house)
            clean = house.twin()
            clean.live(chapter.model)
            self.ended.append(clean)
            house = clean.twin()
            for moment in Moment:
                calls = clean.killer.journaled if moment is Moment.UNWRITTEN else clean.killer.points
                self.points += [Point(number, moment, call) for call in calls]

    def alone(self, point: Point) -> Iterator[str]:
        """Killed once: it ends as undisturbed, in every detail, and nothing was made that is not in there."""
        house = self.begun[point.chapter].twin()
        house.killer.once_at(point.moment, point.call)
        yield from _compared(house, self.ended[point.chapter], STORY[point.chapter].model, str(point))
        if not house.killer.hit:
            yield f"{point}: never come to"

    def of_another_mind(self, point: Point) -> Iterator[str]:
        """Killed once, and then the spec is as it was when it last served, or gone: what lives is as if that had come at once."""
        for model in {_served_before(point.chapter), None}:
            house, clean = self.begun[point.chapter].twin(), self.begun[point.chapter].twin()
            house.killer.once_at(point.moment, point.call)
            with suppress(CrashedError):
                house.live(STORY[point.chapter].model, until_hit=True)
            if not house.killer.hit:
                yield f"{point}: never come to"
            house.killer.rest()
            clean.live(model)
            what = "gone" if model is None else "as before"
            yield from _compared(house, clean, model, f"{point}, then {what}", history=False)

    def in_pairs(self, number: int, seed: int) -> Iterator[list[str]]:
        """Killed twice, somewhere: in one life, and in the next one or a later one. What is wrong, so many times."""
        dice = random.Random(seed)
        while number:
            chapter = dice.randrange(len(STORY))
            house, clean = self.begun[chapter].twin(), self.ended[chapter]
            first, second = (dice.choice([moment for moment in Moment if moment is not Moment.UNSURE]) for _ in "12")
            calls = len(clean.killer.journaled if first is Moment.UNWRITTEN else clean.killer.points)
            at = dice.randrange(calls)
            turns = [(first, at), (second, dice.randrange(max(1, calls - at)))]
            house.killer.in_turn(*turns)
            found = list(_compared(house, clean, STORY[chapter].model, f"{STORY[chapter].name}, {turns}"))
            if house.killer.crashes == 2:
                number -= 1
                yield found


def _served_before(chapter: int) -> Model | None:
    """What the spec was when its model last served."""
    models = [earlier.model for earlier in STORY[:chapter]]
    return next((model for model in reversed(models) if model and model.gate > 0), None)


def _compared(house: House, clean: House, model: Model | None, what: str, *, history: bool = True) -> Iterator[str]:
    try:
        house.survive(model)
    except UnsettledError as error:
        yield f"{what}: {error}"
        return
    found, expected = house.state(history=history), clean.state(history=history)
    if found != expected:
        yield f"{what}: ends as {found}, not as {expected}"
    if history and house.cloud.made != clean.cloud.made:
        yield f"{what}: made {house.cloud.made - clean.cloud.made} too many"
    yield from (f"{what}: {fault}" for fault in house.faults(history=history))
