"""Plan deletions: objects that are superseded, no longer declared, or history that no rollback reaches. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from graphlib import TopologicalSorter

from controller.core.graph import Node
from controller.core.plan import Action, PlanningInput, Step
from controller.core.reachability import find_reachable, iter_names
from controller.core.record import Record
from controller.core.values import UNKNOWN, Key, Value, is_known, iter_strings, to_json_value


def plan_deletions(
    planning_input: PlanningInput, identities: Mapping[Key, Mapping[str, Value]], changing: Collection[Key]
) -> list[Step]:
    """Return a deletion for every object that is no longer needed, dependents first.

    `changing` are the nodes that have steps.
    """
    superseded = [record for record in planning_input.records if _is_superseded(record, identities)]
    unreached = _find_unreachable_history(planning_input, superseded, changing)
    undeclared = [record for record in planning_input.records if _is_undeclared(planning_input, record)]
    absent = [
        *undeclared,
        *(record for record in superseded if _is_deletable(planning_input, record)),
        *unreached.values(),
    ]
    left = {record.id: record for record in absent}
    by_key: dict[Key, list[str]] = {}
    for record in left.values():
        by_key.setdefault(record.key, []).append(record.id)
    sorter: TopologicalSorter[str] = TopologicalSorter()
    for record_id, record in sorted(left.items()):
        sorter.add(record_id)
        for base in (base for edge in record.edges for base in by_key.get(edge, ()) if base != record_id):
            sorter.add(base, record_id)
    return [_make_delete_step(planning_input, left[record_id], unreached) for record_id in sorter.static_order()]


def _is_superseded(record: Record, identities: Mapping[Key, Mapping[str, Value]]) -> bool:
    """Return whether the record's key stands for another object by now."""
    identity = identities.get(record.key, UNKNOWN)
    return is_known(identity) and to_json_value(identity) != record.identity


def _find_unreachable_history(
    planning_input: PlanningInput, superseded: Collection[Record], changing: Collection[Key]
) -> dict[str, Record]:
    """Return the history that no rollback can reach, by record id.

    Reachable is every desired object that exists, what the history's ready revisions served, and the predecessor of
    what stays: ECS may still roll back to it.
    """
    history = [record for record in superseded if _is_collectable(planning_input, record)]
    if not history:
        return {}
    handles = {
        kind: known.reference_outputs
        for kind, known in planning_input.resource_types.items()
        if known.reference_outputs
    }
    serial = (record for record in superseded if planning_input.resource_types[record.key.kind].revision_output)
    before = {record.key: record for record in serial if record.key not in changing}
    roots = {text for seen in planning_input.seen.values() for text in iter_strings([seen.fields, seen.outputs])}
    roots.update(name for kept in planning_input.retained_histories.values() for name in kept.served_names)
    roots.update(name for record in before.values() for name in iter_names(record, handles[record.key.kind]))
    kept = find_reachable(roots, planning_input.records, handles)
    return {record.id: record for record in history if record.id not in kept}


def _is_collectable(planning_input: PlanningInput, record: Record) -> bool:
    """Return whether a superseded record is history that may be collected if nothing reaches it."""
    kind, kept = planning_input.resource_types[record.key.kind], planning_input.retained_histories.get(record.owner)
    if (
        kept is None
        or kind.retention_category in kept.retained_categories
        or planning_input.policy_for(record.owner).held_reason
    ):
        return False
    if not kind.reference_outputs:  # nothing can reach it
        return False
    return kind.superseded_policy == "collect" or (
        kind.superseded_policy == "stop" and record.outputs.get("finished") is True
    )


def _is_deletable(planning_input: PlanningInput, superseded: Record) -> bool:
    fate = planning_input.resource_types[superseded.key.kind].superseded_policy
    return fate == "delete" or (fate == "stop" and superseded.outputs.get("finished") is not True)


def _is_undeclared(planning_input: PlanningInput, record: Record) -> bool:
    kind = planning_input.resource_types.get(record.key.kind)
    # An object with numbered revisions is deleted together with all of them.
    if record.key in planning_input.graph.nodes or (kind and kind.revision_output in record.identity):
        return False
    if record.owner in planning_input.removed_specs:
        return not record.retain
    # A spec that stops training keeps the models that it made, as it would if it were removed.
    made = record.retain and kind is not None and kind.retention_category != "service"
    return record.owner in planning_input.declared_specs and not made


def _make_delete_step(planning_input: PlanningInput, record: Record, unreachable: Collection[str]) -> Step:
    why = "superseded" if record.key in planning_input.graph.nodes else "no longer declared"
    history, held = record.id in unreachable, planning_input.policy_for(record.owner).held_reason
    why = "no longer reachable: no rollback leads to it" if history else why
    return Step(
        Action.DELETE, Node(record.key, record.identity), record.owner, (), why, held=held, collects_history=history
    )
