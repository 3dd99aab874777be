"""The drift walk: every managed field of every type is edited behind the controller's back, and every object deleted.

Each round edits one field of each type at once, plans, passes with `driftCorrection: false`, and then with it. The
evidence of a trial is what became of its one field; `test_drift.py` says what it must be.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from controller.core.diff import Change
from controller.core.graph import Node, Target, output_of
from controller.core.plan import Step
from controller.core.status import Status
from controller.core.values import UNKNOWN, Key, Value
from controller.reconcile import Pass, Survey
from controller.resources.base import Registry
from tests.conformance.fields import Steps, another, at, replaced, wholes
from tests.conformance.hands import ADDED, HANDS, VALUES, Live, World
from tests.demo import Demo

# How many fields of one object are edited by one call; each is told on its own.
AT_ONCE = {"ecs/service": 4, "ecs/task-definition": 4}
LEAVE, CORRECT = "{driftCorrection: false}", "{}"


@dataclass
class Trial:
    """One field of one object, and what became of it."""

    key: Key
    path: str
    old: Value
    new: Value
    planned: tuple[Change, ...] = ()
    among_many: tuple[Change, ...] = ()
    left: str = ""
    still: tuple[Change, ...] = ()
    after: tuple[Change, ...] = ()
    told: list[str] = field(default_factory=list)
    whole: bool = True

    @property
    def name(self) -> tuple[str, str]:
        """The type's name and the field's."""
        return self.key.kind, self.path


def world_of(survey: Survey) -> dict[str, Live]:
    """Everything that is live and was made by us, by type and part."""
    return {part_of(node.key): Live(node.key, node.identity, survey.seen[node.key]) for node in resolved(survey)}


def resolved(survey: Survey) -> Iterator[Node]:
    """The nodes of what is there, without Refs, parents first."""
    for node in survey.graph.order():
        if node.key in survey.seen:
            yield node.resolved(lambda ref: output_of(survey.seen, ref, UNKNOWN))


def part_of(key: Key) -> str:
    """A node as told apart from others of its kind: `iam/role/task`."""
    part = key.name.partition("/")[2]
    return f"{key.kind}/{part}" if part else key.kind


def fields_of(demo: Demo, survey: Survey) -> dict[tuple[str, str], tuple[Key, Steps]]:
    """Every managed field, by type and path, with one object that has it."""
    found: dict[tuple[str, str], tuple[Key, Steps]] = {}
    for node in resolved(survey):
        resource = demo.registry[node.key.kind]
        if not resource.read_only:
            for path, steps in wholes(survey.seen[node.key].fields, node.desired, resource.policy).items():
                found.setdefault((node.key.kind, path), (node.key, steps))
            for name in sorted(node.desired.keys() - survey.seen[node.key].fields.keys()):
                found.setdefault((node.key.kind, name), (node.key, (name,)))
    first = {kind: key for (kind, _), (key, _) in reversed(found.items())}
    added = {(kind, path): (first[kind], way) for kind, ways in ADDED.items() for path, (way, _) in ways.items()}
    return found | added


def walk(demo: Demo, crowd: Registry, excused: Collection[tuple[str, str]]) -> list[Trial]:
    """Edit everything that isn't excused, as many types at a time as there are.

    `crowd` are the same types, that look at each object as at one of many: by listings.
    """
    waiting: dict[str, list[tuple[str, Key, Steps]]] = {}
    for (kind, path), (key, steps) in fields_of(demo, demo.survey()).items():
        if (kind, path) not in excused:
            waiting.setdefault(kind, []).append((path, key, steps))
    trials: list[Trial] = []
    while any(waiting.values()):
        trials += _round(demo, crowd, [_take(kind, queue) for kind, queue in waiting.items() if queue])
    return trials


def _take(kind: str, queue: list[tuple[str, Key, Steps]]) -> list[tuple[str, Key, Steps]]:
    """The next edits of a type: of one object, and several where one call takes them."""
    taken = [queue.pop(0)]
    while queue and len(taken) < AT_ONCE.get(kind, 1) and queue[0][1] == taken[0][1]:
        taken.append(queue.pop(0))
    return taken


def _round(demo: Demo, crowd: Registry, edits: Sequence[Sequence[tuple[str, Key, Steps]]]) -> list[Trial]:
    world = world_of(demo.survey())
    # Children first: AWS looks at what they name.
    trials = [trial for of_one in reversed(edits) for trial in _edit(demo, world, of_one)]
    survey, listed = demo.survey(), replace(demo, registry=crowd).survey()
    for trial in trials:
        trial.planned, trial.among_many = _planned(survey, trial), _planned(listed, trial)
    statuses = _pass(demo, LEAVE).statuses
    survey = demo.survey()
    for trial in trials:
        trial.left = _state(statuses, trial.key)
        trial.still = _planned(survey, trial)
    _pass(demo, CORRECT)
    survey = demo.survey()
    for trial in trials:
        trial.after = _planned(survey, trial)
        trial.told = _drifts(demo, trial.key)
    return trials


def _edit(demo: Demo, world: World, edits: Sequence[tuple[str, Key, Steps]]) -> list[Trial]:
    key = edits[0][1]
    live, trials = world[part_of(key)], []
    fields: Mapping[str, Value] = live.seen.fields
    for path, _, steps in edits:
        added = ADDED.get(key.kind, {}).get(path)
        old = at(live.seen.fields, steps)
        new = VALUES.get(key.kind, {}).get(path)
        new = (
            added[1](at(fields, steps))
            if added
            else new(world)
            if callable(new)
            else another(old)
            if new is None
            else new
        )
        fields = replaced(fields, steps, new)
        trials.append(Trial(key, path, old, new, whole=added is None))
    chosen = HANDS[key.kind](demo.door(), live, str(edits[0][2][0]), fields) or {}
    return [replace(trial, new=chosen.get(trial.path, trial.new)) for trial in trials]


def _planned(survey: Survey, trial: Trial) -> tuple[Change, ...]:
    """What is planned for the trial's field: the change of it, or those within it."""
    steps = [step for step in survey.plan.steps if step.node.key == trial.key]
    changes = (change for step in steps for change in step.changes)
    return tuple(change for change in changes if f"{change.path}.".startswith(f"{trial.path}."))


def _pass(demo: Demo, policy: str) -> Pass:
    demo.models = (replace(demo.models[0], policy=policy),)
    return demo.go()


def _state(statuses: Sequence[Status], key: Key) -> str:
    return next(state.state for status in statuses for state in status.resources if state.key == key)


@dataclass
class Loss:
    """One object that was deleted, and what became of it."""

    key: Key
    planned: str = ""
    left: str = ""
    back: bool = False
    restless: tuple[Step, ...] = ()
    told: list[str] = field(default_factory=list)


def lose(demo: Demo, excused: Collection[str]) -> list[Loss]:
    """Delete one object of each type that isn't excused, one after the other."""
    keys = {node.key.kind: node.key for node in resolved(demo.survey()) if not demo.registry[node.key.kind].read_only}
    return [_lose(demo, key) for kind, key in keys.items() if kind not in excused]


def _lose(demo: Demo, key: Key) -> Loss:
    live, resource, loss = world_of(demo.survey())[part_of(key)], demo.registry[key.kind], Loss(key)
    record = next(record for record in demo.store.records(key.environment) if record.key == key)
    before, deadline = len(_drifts(demo, key)), time.monotonic() + 30
    while resource.delete(demo.door(), Target(key, live.identity, record.outputs)) is not None:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    loss.planned = next((step.action.value for step in demo.survey().plan.steps if step.node.key == key), "")
    loss.left = _state(_pass(demo, LEAVE).statuses, key)
    _pass(demo, CORRECT)
    survey = demo.survey()
    loss.back, loss.restless = key in survey.seen, survey.plan.steps
    loss.told = _drifts(demo, key)[before:]
    return loss


def _drifts(demo: Demo, key: Key) -> list[str]:
    """What events say of an object's drift, oldest first."""
    return [e.message for e in demo.store.events(limit=10**6) if e.key == key and e.reason == "Drifted"]
