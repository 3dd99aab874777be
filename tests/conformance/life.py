"""One life of a whole registry: made, left alone, changed in every way a spec or a hand can, disputed, removed twice.

`live` only gathers what happened, type by type; `checks.py` says what is wrong with it. So a check can be shown a life
with a mistake in it.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from controller.core.graph import Node, Observed, Target, output_of
from controller.core.ownership import OWNER
from controller.core.plan import Action, Plan, Step, record_of
from controller.core.values import UNKNOWN, Value, refs
from controller.errors import MoorageError
from controller.permissions import Grant, grants
from controller.reconcile import Survey
from controller.runtime.once import is_ready
from tests.conformance.scene import Scene
from tests.demo import Demo, UnsettledError

STRANGER = "ModelService/stranger"


@dataclass(frozen=True)
class Turn:
    """Something that changes, and what must be planned for it: type → paths. A type that isn't named stays as it is.

    With `tags`, every type whose nodes carry tags is expected to plan a change of that one tag as well.
    """

    name: str
    change: Callable[[Demo], None]
    expected: Mapping[str, frozenset[str]] = field(default_factory=dict)
    tag: str = ""


@dataclass
class Evidence:
    """What happened, by type."""

    scene: Scene
    granted: frozenset[Grant] = frozenset()
    kinds: set[str] = field(default_factory=set)
    tagged: set[str] = field(default_factory=set)
    created: set[str] = field(default_factory=set)
    restless: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    planned: dict[str, dict[str, set[str]]] = field(default_factory=dict)
    impure: set[str] = field(default_factory=set)
    dangling: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    paths: dict[str, set[tuple[str, ...]]] = field(default_factory=lambda: defaultdict(set))
    outputs: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    refused: set[str] = field(default_factory=set)
    disputed: set[str] = field(default_factory=set)
    remains: dict[str, str] = field(default_factory=dict)
    unsettled: str = ""


def live(demo: Demo, scene: Scene, turns: Sequence[Turn], stubborn: Mapping[str, str]) -> Evidence:
    """The whole life. What never settles ends it early, and is told. `stubborn` types can't be given to a stranger."""
    told = Evidence(scene, grants(scene.registry, demo.wants()))
    _expand_twice(demo, told)
    try:
        told.created = {step.node.key.kind for step in demo.survey().plan.steps if step.action is Action.CREATE}
        _settle(demo, told, "create")
        for turn in turns:
            turn.change(demo)
            told.planned[turn.name] = _paths_of(demo.survey().plan)
            _among_many(demo, told, turn.name)
            _settle(demo, told, turn.name)
    except UnsettledError as error:
        told.unsettled = str(error)
    else:
        _dispute(demo, told, stubborn)
    _remove(demo, told)
    return told


def _expand_twice(demo: Demo, told: Evidence) -> None:
    for want in demo.wants():
        for kind, resource in demo.registry.items():
            first, second = list(resource.expand(want)), list(resource.expand(want))
            told.kinds |= {kind for _ in first}
            told.tagged |= {kind for node in first if OWNER in node.desired.get("tags", {})}
            told.impure |= {kind for _ in [1] if first != second}


def _settle(demo: Demo, told: Evidence, turn: str) -> None:
    try:
        done = demo.go()
        if not all(map(is_ready, done.statuses)):
            raise UnsettledError([condition.message for status in done.statuses for condition in status.conditions])
    finally:
        survey = demo.survey()
        for kind, paths in _paths_of(survey.plan).items():
            told.restless[kind] |= {f"after {turn}: {path}" for path in paths}
        for node in survey.graph.nodes.values():
            _look(node, survey, told)


def _among_many(demo: Demo, told: Evidence, turn: str) -> None:
    """As one of many specs, it is looked at by listings; and planned for as if it were alone."""
    planned, alone = _paths_of(replace(demo, registry=told.scene.crowd).survey().plan), told.planned[turn]
    for kind in planned.keys() | alone.keys():
        if planned.get(kind) != alone.get(kind):
            told.restless[kind].add(f"{turn}: among many, {sorted(planned.get(kind, ()))} is planned")


def _look(node: Node, survey: Survey, told: Evidence) -> None:
    kind, seen = node.key.kind, survey.seen.get(node.key, Observed())
    told.outputs[kind] |= seen.outputs.keys()
    told.paths[kind] |= {*_paths((), node.desired), *_paths((), seen.fields)}
    for ref in refs([node.identity, node.desired]):
        if output_of(survey.seen, ref, UNKNOWN) is UNKNOWN:
            told.dangling[kind].add(f"{ref.key} gives no {ref.output}")


def _paths_of(plan: Plan) -> dict[str, set[str]]:
    """What is planned, by type: the changed paths; the action where something is made or goes; `later` for what is to come."""
    found: dict[str, set[str]] = defaultdict(set)
    for step in plan.steps:
        paths = {change.path for change in step.changes}
        makes = step.action in (Action.CREATE, Action.REPLACE, Action.DELETE)
        found[step.node.key.kind] |= {"later"} if step.later else {step.action.value} if makes or not paths else paths
    for refusal in plan.refusals:
        found[refusal.node.key.kind].add("refused")
    return found


def _paths(path: tuple[str, ...], value: Value) -> Iterator[tuple[str, ...]]:
    """Every path in a value; a list's elements are all `*`."""
    if path:
        yield path
    if isinstance(value, Mapping):
        for name, child in value.items():
            yield from _paths((*path, str(name)), child)
    elif isinstance(value, list | tuple):
        for child in value:
            yield from _paths((*path, "*"), child)


def _dispute(demo: Demo, told: Evidence, stubborn: Mapping[str, str]) -> None:
    """Give everything that carries tags to a stranger, plan, and take it back."""
    survey = demo.survey()
    ours = [node for node in _resolved(survey) if node.key.kind in told.tagged and node.key.kind not in stubborn]
    for node in ours:
        tags = {**node.desired["tags"], OWNER: STRANGER}
        _apply(demo, survey, replace(node, desired={**node.desired, "tags": tags}))
    told.disputed = {node.key.kind for node in ours}
    told.refused = {refusal.node.key.kind for refusal in demo.survey().plan.refusals}
    for node in ours:
        _apply(demo, survey, node)


def _apply(demo: Demo, survey: Survey, node: Node) -> None:
    demo.registry[node.key.kind].apply(demo.door(), Step(Action.UPDATE, node, node.key), survey.seen[node.key])


def _resolved(survey: Survey) -> list[Node]:
    return [node.resolved(lambda ref: output_of(survey.seen, ref, UNKNOWN)) for node in survey.graph.order()]


def _remove(demo: Demo, told: Evidence) -> None:
    """Delete every node, those built on others first, until AWS confirms it; then once more; then look."""
    survey, aws = demo.survey(), demo.door()
    for node in reversed(_resolved(survey)):
        resource = demo.registry[node.key.kind]
        if resource.read_only or node.key not in survey.seen:
            continue
        record = record_of(demo.store.records(node.key.environment), node)
        target = Target(node.key, node.identity, record.outputs if record else {})
        try:
            _until_gone(resource, aws, target)
            again = resource.delete(aws, target)
        except (MoorageError, AssertionError) as error:
            told.remains[node.key.kind] = f"can't be deleted twice: {error!r}"
            continue
        if again is not None:
            told.remains[node.key.kind] = f"found it again after it was gone: {again}"
        elif node.key in resource.observe(aws, [Target(node.key, node.identity)]):
            told.remains[node.key.kind] = "it is still there"


def _until_gone(resource: Any, aws: Any, target: Target) -> None:
    deadline = time.monotonic() + 30
    while (waiting := resource.delete(aws, target)) is not None:
        assert time.monotonic() < deadline, waiting
        time.sleep(0.02)
