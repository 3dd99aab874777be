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

from controller.core.graph import Node, Observed, Target, get_output
from controller.core.ownership import OWNER_TAG
from controller.core.plan import Action, Plan, Step, find_record
from controller.core.values import UNKNOWN, Value, iter_refs
from controller.engine.run_result import is_ready
from controller.errors import MoorageError
from controller.permissions import Grant, derive_grants
from controller.survey import Survey
from tests.conformance.call_attribution import CallAttribution
from tests.demo import Demo, UnsettledError

FOREIGN_OWNER = "ModelService/stranger"


@dataclass(frozen=True)
class UpdateCase:
    """Something that changes, and what must be planned for it: type → paths. A type that isn't named stays as it is.

    With `tags`, every type whose nodes carry tags is expected to plan a change of that one tag as well.
    """

    name: str
    change: Callable[[Demo], None]
    expected: Mapping[str, frozenset[str]] = field(default_factory=dict)
    tag: str = ""


@dataclass
class LifecycleEvidence:
    """What happened, by type."""

    scene: CallAttribution
    granted: frozenset[Grant] = frozenset()
    kinds: set[str] = field(default_factory=set)
    tagged: set[str] = field(default_factory=set)
    created: set[str] = field(default_factory=set)
    unstable_plans: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    planned: dict[str, dict[str, set[str]]] = field(default_factory=dict)
    nondeterministic: set[str] = field(default_factory=set)
    dangling_refs: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    paths: dict[str, set[tuple[str, ...]]] = field(default_factory=lambda: defaultdict(set))
    outputs: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    refused: set[str] = field(default_factory=set)
    made_foreign: set[str] = field(default_factory=set)
    deletion_failures: dict[str, str] = field(default_factory=dict)
    unsettled: str = ""


def run_lifecycle(
    demo: Demo, scene: CallAttribution, update_cases: Sequence[UpdateCase], not_transferable: Mapping[str, str]
) -> LifecycleEvidence:
    """The whole life. What never settles ends it early, and is told. `stubborn` types can't be given to a stranger."""
    reported = LifecycleEvidence(scene, derive_grants(scene.registry, demo.spec_contexts()))
    _check_expansion(demo, reported)
    try:
        reported.created = {step.node.key.kind for step in demo.survey().plan.steps if step.action is Action.CREATE}
        _settle(demo, reported, "create")
        for turn in update_cases:
            turn.change(demo)
            reported.planned[turn.name] = _paths_of(demo.survey().plan)
            _compare_with_listing(demo, reported, turn.name)
            _settle(demo, reported, turn.name)
    except UnsettledError as error:
        reported.unsettled = str(error)
    else:
        _check_foreign_ownership(demo, reported, not_transferable)
    _remove(demo, reported)
    return reported


def _check_expansion(demo: Demo, evidence: LifecycleEvidence) -> None:
    for context in demo.spec_contexts():
        for kind, resource in demo.registry.items():
            first, second = list(resource.expand(context)), list(resource.expand(context))
            evidence.kinds |= {kind for _ in first}
            evidence.tagged |= {kind for node in first if OWNER_TAG in node.desired.get("tags", {})}
            evidence.nondeterministic |= {kind for _ in [1] if first != second}


def _settle(demo: Demo, evidence: LifecycleEvidence, case: str) -> None:
    try:
        done = demo.reconcile_until_settled()
        if not all(map(is_ready, done.statuses)):
            raise UnsettledError([condition.message for status in done.statuses for condition in status.conditions])
    finally:
        survey = demo.survey()
        for kind, paths in _paths_of(survey.plan).items():
            evidence.unstable_plans[kind] |= {f"after {case}: {path}" for path in paths}
        for node in survey.graph.nodes.values():
            _record_observation(node, survey, evidence)


def _compare_with_listing(demo: Demo, evidence: LifecycleEvidence, case: str) -> None:
    """As one of many specs, it is looked at by listings; and planned for as if it were alone."""
    planned, alone = (
        _paths_of(replace(demo, registry=evidence.scene.listing_registry).survey().plan),
        evidence.planned[case],
    )
    for kind in planned.keys() | alone.keys():
        if planned.get(kind) != alone.get(kind):
            evidence.unstable_plans[kind].add(f"{case}: among many, {sorted(planned.get(kind, ()))} is planned")


def _record_observation(node: Node, survey: Survey, evidence: LifecycleEvidence) -> None:
    kind, seen = node.key.kind, survey.seen.get(node.key, Observed())
    evidence.outputs[kind] |= seen.outputs.keys()
    evidence.paths[kind] |= {*_paths((), node.desired), *_paths((), seen.fields)}
    for ref in iter_refs([node.identity, node.desired]):
        if get_output(survey.seen, ref, UNKNOWN) is UNKNOWN:
            evidence.dangling_refs[kind].add(f"{ref.key} gives no {ref.output}")


def _paths_of(plan: Plan) -> dict[str, set[str]]:
    """What is planned, by type: the changed paths; the action where something is made or goes.

    `later` for what is to come.
    """
    found: dict[str, set[str]] = defaultdict(set)
    for step in plan.steps:
        paths = {change.path for change in step.changes}
        makes = step.action in (Action.CREATE, Action.REPLACE, Action.DELETE)
        if step.later:
            paths = {"later"}
        elif makes or not paths:
            paths = {step.action.value}
        found[step.node.key.kind] |= paths
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


def _check_foreign_ownership(demo: Demo, evidence: LifecycleEvidence, not_transferable: Mapping[str, str]) -> None:
    """Give everything that carries tags to a stranger, plan, and take it back."""
    survey = demo.survey()
    ours = [
        node for node in _resolved(survey) if node.key.kind in evidence.tagged and node.key.kind not in not_transferable
    ]
    for node in ours:
        tags = {**node.desired["tags"], OWNER_TAG: FOREIGN_OWNER}
        _apply(demo, survey, replace(node, desired={**node.desired, "tags": tags}))
    evidence.made_foreign = {node.key.kind for node in ours}
    evidence.refused = {refusal.node.key.kind for refusal in demo.survey().plan.refusals}
    for node in ours:
        _apply(demo, survey, node)


def _apply(demo: Demo, survey: Survey, node: Node) -> None:
    demo.registry[node.key.kind].apply(demo.aws_client(), Step(Action.UPDATE, node, node.key), survey.seen[node.key])


def _resolved(survey: Survey) -> list[Node]:
    return [
        node.resolve(lambda ref: get_output(survey.seen, ref, UNKNOWN)) for node in survey.graph.topological_order()
    ]


def _remove(demo: Demo, evidence: LifecycleEvidence) -> None:
    """Delete every node, those built on others first, until AWS confirms it; then once more; then look."""
    survey, aws = demo.survey(), demo.aws_client()
    for node in reversed(_resolved(survey)):
        resource = demo.registry[node.key.kind]
        if resource.read_only or node.key not in survey.seen:
            continue
        record = find_record(demo.store.list_records(node.key.environment), node)
        target = Target(node.key, node.identity, record.outputs if record else {})
        try:
            _delete_until_absent(resource, aws, target)
            again = resource.delete(aws, target)
        except (MoorageError, AssertionError) as error:
            evidence.deletion_failures[node.key.kind] = f"can't be deleted twice: {error!r}"
            continue
        if again is not None:
            evidence.deletion_failures[node.key.kind] = f"found it again after it was gone: {again}"
        elif node.key in resource.observe(aws, [Target(node.key, node.identity)]):
            evidence.deletion_failures[node.key.kind] = "it is still there"


def _delete_until_absent(resource: Any, aws: Any, target: Target) -> None:
    deadline = time.monotonic() + 30
    while (waiting := resource.delete(aws, target)) is not None:
        assert time.monotonic() < deadline, waiting
        time.sleep(0.02)
