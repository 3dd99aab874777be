"""The drift walk: every managed field of every type is edited behind the controller's back, and every object deleted.

Each round edits one field of each type at once, plans, passes with `driftCorrection: false`, and then with it. The
evidence of a trial is what became of its one field; `test_drift.py` says what it must be.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from controller.core.diff import Change
from controller.core.graph import Node, Target, get_output
from controller.core.plan import Step
from controller.core.status import Status
from controller.core.values import UNKNOWN, Key, Value
from controller.reconcile import PassResult
from controller.resources.base import ResourceRegistry
from controller.survey import Survey
from tests.conformance.managed_fields import Steps, different_value, managed_paths, value_at, with_value_at
from tests.conformance.manual_edits import ADDED_ELEMENTS, EDIT_VALUES, MANUAL_EDITS, LiveObject, LiveObjects
from tests.demo import Demo

# How many fields of one object are edited by one call; each is told on its own.
EDITS_PER_CALL = {"ecs/service": 4, "ecs/task-definition": 4}
REPORT_DRIFT, CORRECT_DRIFT = "{driftCorrection: false}", "{}"


@dataclass
class DriftTrial:
    """One field of one object, and what became of it."""

    key: Key
    path: str
    old: Value
    new: Value
    planned: tuple[Change, ...] = ()
    among_many: tuple[Change, ...] = ()
    state_when_left: str = ""
    planned_when_left: tuple[Change, ...] = ()
    planned_after_correction: tuple[Change, ...] = ()
    drift_messages: list[str] = field(default_factory=list)
    is_whole_field: bool = True

    @property
    def name(self) -> tuple[str, str]:
        """The type's name and the field's."""
        return self.key.kind, self.path


def live_objects(survey: Survey) -> dict[str, LiveObject]:
    """Everything that is live and was made by us, by type and part."""
    return {
        kind_and_part(node.key): LiveObject(node.key, node.identity, survey.seen[node.key])
        for node in resolved_nodes(survey)
    }


def resolved_nodes(survey: Survey) -> Iterator[Node]:
    """The nodes of what is there, without Refs, parents first."""
    for node in survey.graph.topological_order():
        if node.key in survey.seen:
            yield node.resolve(lambda ref: get_output(survey.seen, ref, UNKNOWN))


def kind_and_part(key: Key) -> str:
    """A node as told apart from others of its kind: `iam/role/task`."""
    part = key.name.partition("/")[2]
    return f"{key.kind}/{part}" if part else key.kind


def fields_of(demo: Demo, survey: Survey) -> dict[tuple[str, str], tuple[Key, Steps]]:
    """Every managed field, by type and path, with one object that has it."""
    found: dict[tuple[str, str], tuple[Key, Steps]] = {}
    for node in resolved_nodes(survey):
        resource = demo.registry[node.key.kind]
        if not resource.read_only:
            for path, steps in managed_paths(survey.seen[node.key].fields, node.desired, resource.policy).items():
                found.setdefault((node.key.kind, path), (node.key, steps))
            for name in sorted(node.desired.keys() - survey.seen[node.key].fields.keys()):
                found.setdefault((node.key.kind, name), (node.key, (name,)))
    first = {kind: key for (kind, _), (key, _) in reversed(found.items())}
    added = {
        (kind, path): (first[kind], way) for kind, ways in ADDED_ELEMENTS.items() for path, (way, _) in ways.items()
    }
    return found | added


def run_drift_trials(
    demo: Demo, listing_registry: ResourceRegistry, excused: Collection[tuple[str, str]]
) -> list[DriftTrial]:
    """Edit everything that isn't excused, as many types at a time as there are.

    `crowd` are the same types, that look at each object as at one of many: by listings.
    """
    waiting: dict[str, list[tuple[str, Key, Steps]]] = {}
    for (kind, path), (key, steps) in fields_of(demo, demo.survey()).items():
        if (kind, path) not in excused:
            waiting.setdefault(kind, []).append((path, key, steps))
    trials: list[DriftTrial] = []
    while any(waiting.values()):
        trials += _run_round(
            demo, listing_registry, [_next_edits(kind, queue) for kind, queue in waiting.items() if queue]
        )
    return trials


def _next_edits(kind: str, queue: list[tuple[str, Key, Steps]]) -> list[tuple[str, Key, Steps]]:
    """The next edits of a type: of one object, and several where one call takes them."""
    taken = [queue.pop(0)]
    while queue and len(taken) < EDITS_PER_CALL.get(kind, 1) and queue[0][1] == taken[0][1]:
        taken.append(queue.pop(0))
    return taken


def _run_round(
    demo: Demo, listing_registry: ResourceRegistry, edits: Sequence[Sequence[tuple[str, Key, Steps]]]
) -> list[DriftTrial]:
    world = live_objects(demo.survey())
    # Children first: AWS looks at what they name.
    trials = [trial for of_one in reversed(edits) for trial in _edit(demo, world, of_one)]
    survey, listed = demo.survey(), replace(demo, registry=listing_registry).survey()
    for trial in trials:
        trial.planned, trial.among_many = _planned(survey, trial), _planned(listed, trial)
    statuses = _pass(demo, REPORT_DRIFT).statuses
    survey = demo.survey()
    for trial in trials:
        trial.state_when_left = _state(statuses, trial.key)
        trial.planned_when_left = _planned(survey, trial)
    _pass(demo, CORRECT_DRIFT)
    survey = demo.survey()
    for trial in trials:
        trial.planned_after_correction = _planned(survey, trial)
        trial.drift_messages = _drift_messages(demo, trial.key)
    return trials


def _edit(demo: Demo, live_objects: LiveObjects, edits: Sequence[tuple[str, Key, Steps]]) -> list[DriftTrial]:
    key = edits[0][1]
    live, trials = live_objects[kind_and_part(key)], []
    fields: Mapping[str, Value] = live.seen.fields
    for path, _, steps in edits:
        added = ADDED_ELEMENTS.get(key.kind, {}).get(path)
        old = value_at(live.seen.fields, steps)
        new = EDIT_VALUES.get(key.kind, {}).get(path)
        if added:
            new = added[1](value_at(fields, steps))
        elif callable(new):
            new = new(live_objects)
        elif new is None:
            new = different_value(old)
        fields = with_value_at(fields, steps, new)
        trials.append(DriftTrial(key, path, old, new, is_whole_field=added is None))
    chosen = MANUAL_EDITS[key.kind](demo.aws_client(), live, str(edits[0][2][0]), fields) or {}
    return [replace(trial, new=chosen.get(trial.path, trial.new)) for trial in trials]


def _planned(survey: Survey, trial: DriftTrial) -> tuple[Change, ...]:
    """What is planned for the trial's field: the change of it, or those within it."""
    steps = [step for step in survey.plan.steps if step.node.key == trial.key]
    changes = (change for step in steps for change in step.changes)
    return tuple(change for change in changes if f"{change.path}.".startswith(f"{trial.path}."))


def _pass(demo: Demo, policy: str) -> PassResult:
    demo.models = (replace(demo.models[0], policy=policy),)
    return demo.reconcile_until_settled()


def _state(statuses: Sequence[Status], key: Key) -> str:
    return next(state.state for status in statuses for state in status.resources if state.key == key)


@dataclass
class DeletionTrial:
    """One object that was deleted, and what became of it."""

    key: Key
    planned: str = ""
    state_when_left: str = ""
    is_recreated: bool = False
    planned_after_recreation: tuple[Step, ...] = ()
    drift_messages: list[str] = field(default_factory=list)


def run_deletion_trials(demo: Demo, excused: Collection[str]) -> list[DeletionTrial]:
    """Delete one object of each type that isn't excused, one after the other."""
    keys = {
        node.key.kind: node.key for node in resolved_nodes(demo.survey()) if not demo.registry[node.key.kind].read_only
    }
    return [_run_deletion_trial(demo, key) for kind, key in keys.items() if kind not in excused]


def _run_deletion_trial(demo: Demo, key: Key) -> DeletionTrial:
    live, resource, loss = live_objects(demo.survey())[kind_and_part(key)], demo.registry[key.kind], DeletionTrial(key)
    record = next(record for record in demo.store.list_records(key.environment) if record.key == key)
    before, deadline = len(_drift_messages(demo, key)), time.monotonic() + 30
    while resource.delete(demo.aws_client(), Target(key, live.identity, record.outputs)) is not None:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    loss.planned = next((step.action.value for step in demo.survey().plan.steps if step.node.key == key), "")
    loss.state_when_left = _state(_pass(demo, REPORT_DRIFT).statuses, key)
    _pass(demo, CORRECT_DRIFT)
    survey = demo.survey()
    loss.is_recreated, loss.planned_after_recreation = key in survey.seen, survey.plan.steps
    loss.drift_messages = _drift_messages(demo, key)[before:]
    return loss


def _drift_messages(demo: Demo, key: Key) -> list[str]:
    """What events say of an object's drift, oldest first."""
    return [e.message for e in demo.store.list_events(limit=10**6) if e.key == key and e.reason == "Drifted"]
