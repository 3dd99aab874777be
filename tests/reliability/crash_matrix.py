"""Every point of every chapter, alone; with a change of mind after it; and in pairs. Each gives what it finds wrong."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

from tests.demo import Model, UnsettledError
from tests.reliability.crash_injection import CrashedError, CrashMoment
from tests.reliability.harness import ControllerParts, Harness
from tests.reliability.scenario import SCENARIO


@dataclass(frozen=True)
class CrashPoint:
    """Where a crash falls: the chapter's number, when, and at which call."""

    phase: int
    moment: CrashMoment
    call: str

    def __str__(self) -> str:
        return f"{SCENARIO[self.phase].name}, {self.call}: {self.moment}"


@dataclass
class CrashMatrix:
    """The chapters, each begun in a simulation of these parts in which all before it went well."""

    parts: ControllerParts

    def __post_init__(self) -> None:
        self.initial_states: list[Harness] = []
        self.points: list[CrashPoint] = []
        self.final_states: list[Harness] = []
        simulation = Harness(self.parts)
        for number, chapter in enumerate(SCENARIO):
            self.initial_states.append(simulation)
            clean = simulation.copy()
            clean.run_controller(chapter.model)
            self.final_states.append(clean)
            simulation = clean.copy()
            for moment in CrashMoment:
                calls = (
                    clean.crash_injector.journaled
                    if moment is CrashMoment.NOT_JOURNALED
                    else clean.crash_injector.points
                )
                self.points += [CrashPoint(number, moment, call) for call in calls]

    def single_crash(self, point: CrashPoint) -> Iterator[str]:
        """Killed once: it ends as undisturbed, in every detail, and nothing was made that is not in there."""
        simulation = self.initial_states[point.phase].copy()
        simulation.crash_injector.crash_at(point.moment, point.call)
        yield from _differences(simulation, self.final_states[point.phase], SCENARIO[point.phase].model, str(point))
        if not simulation.crash_injector.hit:
            yield f"{point}: never come to"

    def crash_then_spec_change(self, point: CrashPoint) -> Iterator[str]:
        """Killed once, and then the spec is as it was when it last served, or gone: what lives is as if that had come
        at once.
        """
        for model in {last_served_model(point.phase), None}:
            simulation, clean = self.initial_states[point.phase].copy(), self.initial_states[point.phase].copy()
            simulation.crash_injector.crash_at(point.moment, point.call)
            with suppress(CrashedError):
                simulation.run_controller(SCENARIO[point.phase].model, until_hit=True)
            if not simulation.crash_injector.hit:
                yield f"{point}: never come to"
            simulation.crash_injector.disable()
            clean.run_controller(model)
            what = "gone" if model is None else "as before"
            yield from _differences(simulation, clean, model, f"{point}, then {what}", history=False)

    def crash_pairs(self, count: int, seed: int) -> Iterator[list[str]]:
        """Killed twice, somewhere: in one life, and in the next one or a later one. What is wrong, so many times."""
        dice = random.Random(seed)
        while count:
            chapter = dice.randrange(len(SCENARIO))
            simulation, clean = self.initial_states[chapter].copy(), self.final_states[chapter]
            first, second = (
                dice.choice([moment for moment in CrashMoment if moment is not CrashMoment.SURVIVES_LOST_ANSWER])
                for _ in "12"
            )
            calls = len(
                clean.crash_injector.journaled if first is CrashMoment.NOT_JOURNALED else clean.crash_injector.points
            )
            at = dice.randrange(calls)
            turns = [(first, at), (second, dice.randrange(max(1, calls - at)))]
            simulation.crash_injector.crash_in_sequence(*turns)
            found = list(_differences(simulation, clean, SCENARIO[chapter].model, f"{SCENARIO[chapter].name}, {turns}"))
            if simulation.crash_injector.crashes == 2:
                count -= 1
                yield found


def last_served_model(phase: int) -> Model | None:
    """What the spec was when its model last served."""
    models = [earlier.model for earlier in SCENARIO[:phase]]
    return next((model for model in reversed(models) if model and model.gate > 0), None)


def _differences(
    harness: Harness, undisturbed: Harness, model: Model | None, what: str, *, history: bool = True
) -> Iterator[str]:
    try:
        harness.run_until_completed(model)
    except UnsettledError as error:
        yield f"{what}: {error}"
        return
    found, expected = harness.state(history=history), undisturbed.state(history=history)
    if found != expected:
        yield f"{what}: ends as {found}, not as {expected}"
    if history and harness.cloud.created_counts != undisturbed.cloud.created_counts:
        yield f"{what}: made {harness.cloud.created_counts - undisturbed.cloud.created_counts} too many"
    yield from (f"{what}: {fault}" for fault in harness.invariant_violations(history=history))
