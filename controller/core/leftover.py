"""What we made and nobody needs any more: superseded, no longer declared, or history that no rollback leads to. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from graphlib import TopologicalSorter

from controller.core.graph import Node
from controller.core.plan import Action, Situation, Step
from controller.core.reach import names_of, reachable
from controller.core.record import Record
from controller.core.values import UNKNOWN, Key, Value, is_known, plain, texts


def deletions(
    situation: Situation, identities: Mapping[Key, Mapping[str, Value]], moving: Collection[Key]
) -> list[Step]:
    """What we made and nobody wants any more, each before what it was built on. `moving` are the nodes that have steps."""
    superseded = [record for record in situation.records if _is_superseded(record, identities)]
    unreached = _unreached(situation, superseded, moving)
    undeclared = [record for record in situation.records if _is_undeclared(situation, record)]
    gone = [*undeclared, *(record for record in superseded if _is_left(situation, record)), *unreached.values()]
    left = {record.id: record for record in gone}
    by_key: dict[Key, list[str]] = {}
    for record in left.values():
        by_key.setdefault(record.key, []).append(record.id)
    sorter: TopologicalSorter[str] = TopologicalSorter()
    for record_id, record in sorted(left.items()):
        sorter.add(record_id)
        for base in (base for edge in record.edges for base in by_key.get(edge, ()) if base != record_id):
            sorter.add(base, record_id)
    return [_deletion(situation, left[record_id], unreached) for record_id in sorter.static_order()]


def _is_superseded(record: Record, identities: Mapping[Key, Mapping[str, Value]]) -> bool:
    """Whether its key stands for another object by now."""
    identity = identities.get(record.key, UNKNOWN)
    return is_known(identity) and plain(identity) != record.identity


def _unreached(situation: Situation, superseded: Collection[Record], moving: Collection[Key]) -> dict[str, Record]:
    """What is history and out of every rollback's reach, by id.

    Reached is all that is there and wanted, what the history's ready revisions served, and what came just before what
    stays: ECS may still go back to it.
    """
    history = [record for record in superseded if _may_go(situation, record)]
    if not history:
        return {}
    handles = {kind: known.handles for kind, known in situation.types.items() if known.handles}
    serial = (record for record in superseded if situation.types[record.key.kind].serial)
    before = {record.key: record for record in serial if record.key not in moving}
    roots = {text for seen in situation.seen.values() for text in texts([seen.fields, seen.outputs])}
    roots.update(name for kept in situation.closures.values() for name in kept.names)
    roots.update(name for record in before.values() for name in names_of(record, handles[record.key.kind]))
    kept = reachable(roots, situation.records, handles)
    return {record.id: record for record in history if record.id not in kept}


def _may_go(situation: Situation, record: Record) -> bool:
    """Whether a superseded record is history that may be collected, if nothing leads to it."""
    kind, kept = situation.types[record.key.kind], situation.closures.get(record.owner)
    if kept is None or kind.retain in kept.retained or situation.leave(record.owner).held:
        return False
    if not kind.handles:  # nothing could ever lead to it
        return False
    return kind.superseded == "collect" or (kind.superseded == "stop" and record.outputs.get("finished") is True)


def _is_left(situation: Situation, superseded: Record) -> bool:
    fate = situation.types[superseded.key.kind].superseded
    return fate == "delete" or (fate == "stop" and superseded.outputs.get("finished") is not True)


def _is_undeclared(situation: Situation, record: Record) -> bool:
    kind = situation.types.get(record.key.kind)
    # What numbers its revisions goes with all of them.
    if record.key in situation.graph.nodes or (kind and kind.serial in record.identity):
        return False
    if record.owner in situation.gone:
        return not record.retain
    # A spec that trains no model any more keeps those that it has made, as it would if it were removed.
    made = record.retain and kind is not None and kind.retain != "service"
    return record.owner in situation.declared and not made


def _deletion(situation: Situation, record: Record, unreached: Collection[str]) -> Step:
    why = "superseded" if record.key in situation.graph.nodes else "no longer declared"
    history, held = record.id in unreached, situation.leave(record.owner).held
    why = "no longer reachable: no rollback leads to it" if history else why
    return Step(Action.DELETE, Node(record.key, record.identity), record.owner, (), why, held=held, history=history)
