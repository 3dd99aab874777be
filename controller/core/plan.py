"""From the graph, what is there and what was applied: the steps. Pure, so `plan` and `reconcile` can't differ."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import cached_property
from graphlib import TopologicalSorter
from typing import Literal, Protocol

from controller.core.diff import Change, diff
from controller.core.graph import Graph, Node, Observed, output_of
from controller.core.ownership import foreign_owner
from controller.core.policy import FieldPolicy, any_matches
from controller.core.reach import Closure, names_of, reachable
from controller.core.record import Record, Records
from controller.core.values import ABSENT, UNKNOWN, Key, Ref, Value, digest, is_known, plain, texts


class Action(StrEnum):
    """What a step does. `revise` makes a sibling of a revisioned kind; `replace` makes the new before the old goes."""

    CREATE = "create"
    UPDATE = "update"
    REVISE = "revise"
    REPLACE = "replace"
    ADOPT = "adopt"
    DELETE = "delete"

    @property
    def past(self) -> str:
        """The reason of the event that tells of it: `Created`, `Adopted`."""
        return f"{self.value.removesuffix('e')}ed".capitalize()


# Why something is made that was there when it was looked at last.
GONE = "it is gone from AWS"


@dataclass(frozen=True)
class Leave:
    """What a spec's policy allows.

    `retained` are the categories that outlive the spec; `held` is the reason for which everything is left as it is, and
    `why` says it in words; without `correct`, what others changed is reported and left.
    """

    retained: frozenset[str] = frozenset()
    held: Literal["", "Suspended", "OverBudget"] = ""
    why: str = ""
    correct: bool = True


# What helps against a stranger's object.
_REFUSED = "rename the spec, remove that one first, or take it over with policy.adopt: true"


class Type(Protocol):
    """What planning must know of a resource type; `controller.resources.base` says what each means."""

    policy: FieldPolicy
    read_only: bool
    consequence: str
    superseded: Literal["delete", "keep", "collect", "stop"]
    serial: str
    handles: frozenset[str]
    retain: str


@dataclass(frozen=True)
class Step:
    """One thing to do. `later` steps follow from what training will bring, and wait for it.

    `forces` are the paths of the changes that can't be made in place, where that is why another object is made;
    `held` says which policy keeps the step from being done; `history` that what is deleted served once and is in nobody's
    way, so that it goes when its spec is at rest.
    """

    action: Action
    node: Node
    owner: Key
    changes: tuple[Change, ...] = ()
    why: str = ""
    later: bool = False
    forces: tuple[str, ...] = ()
    held: Literal["", "Suspended", "Drifted", "OverBudget"] = ""
    history: bool = False

    @property
    def told(self) -> tuple[Change, ...]:
        """The changes; of a deletion, what finds the object, so that it is known which one goes."""
        if self.action is not Action.DELETE:
            return self.changes
        return tuple(Change(name, value, ABSENT) for name, value in sorted(self.node.identity.items()))


@dataclass(frozen=True)
class Refusal:
    """A node that must not be touched as things are."""

    node: Node
    owner: Key
    message: str
    hint: str


@dataclass(frozen=True)
class Plan:
    """What a pass would do, in order. Data: it prints, it is JSON, it has a digest."""

    steps: tuple[Step, ...] = ()
    refusals: tuple[Refusal, ...] = ()

    @property
    def digest(self) -> str:
        """Equal plans have equal digests."""
        return digest(
            [
                [step.action, step.node.key, [[c.path, c.old, c.new] for c in step.told], step.later, step.held]
                for step in self.steps
            ],
            [[refusal.node.key, refusal.message] for refusal in self.refusals],
        )

    def of(self, owner: Key) -> Plan:
        """The part that belongs to one spec."""
        return Plan(tuple(self._steps.get(owner, ())), tuple(r for r in self.refusals if r.owner == owner))

    @cached_property
    def _steps(self) -> Mapping[Key, Sequence[Step]]:
        found: dict[Key, list[Step]] = {}
        for step in self.steps:
            found.setdefault(step.owner, []).append(step)
        return found


@dataclass(frozen=True)
class Situation:
    """All that a plan is made from.

    `adopters` are the specs that may take over what exists; `gone` the specs that were removed and are to be pruned;
    `unreadable` the nodes that nobody could look at; `leaves` what each spec's policy allows, `closures` what is kept of
    its history. Without a closure nothing is collected.
    """

    graph: Graph
    types: Mapping[str, Type]
    seen: Mapping[Key, Observed]
    records: Collection[Record]
    adopters: Collection[Key] = ()
    gone: Collection[Key] = ()
    unreadable: Collection[Key] = ()
    leaves: Mapping[Key, Leave] = field(default_factory=dict)
    closures: Mapping[Key, Closure] = field(default_factory=dict)

    def leave(self, owner: Key) -> Leave:
        """What a spec's policy allows."""
        return self.leaves.get(owner, Leave())

    @cached_property
    def declared(self) -> Collection[Key]:
        """The specs that nodes belong to."""
        return frozenset(self.graph.owners.values())


def make_plan(situation: Situation) -> Plan:
    """The steps from what is to what should be: now, later, and what is left over."""
    now = _Walk(situation)
    now.run()
    steps = list(now.steps.values())
    unsettled = _unsettled(situation, now)
    if unsettled:
        then = _Walk(situation, unsettled)
        then.run()
        steps += [step for key in then.steps if (step := _later(then.steps[key], now.steps.get(key)))]
    moving = frozenset(step.node.key for step in steps)
    return Plan((*steps, *_deletions(situation, now.identities, moving)), tuple(now.refusals))


def _later(step: Step, now: Step | None) -> Step | None:
    """What a step will change beyond what is changed now; None when that is nothing."""
    if now is None:
        return replace(step, later=True)
    more = tuple(change for change in step.changes if change not in now.changes)
    return replace(step, later=True, changes=more) if more else None


def _unsettled(situation: Situation, now: _Walk) -> frozenset[Key]:
    """The read-only nodes whose answer will be another once today's steps are done.

    That is so where a step concerns what they read, or leaves open a value that they take; not where it changes something
    else about its object, as a tag.
    """
    nodes = [node for node in situation.graph.nodes.values() if situation.types[node.key.kind].read_only]
    return frozenset(
        node.key
        for node in nodes
        if node.key in situation.seen
        and (any(key in now.steps for key in node.reads) or not is_known(node.resolved(now.lookup).identity))
    )


@dataclass
class _Walk:
    """One walk over the graph, parents first; what a parent's step leaves open is unknown to its children.

    `left` is what drifted and is left so, with the outputs it was applied with: those its children go on with. `missed`
    is what is gone and left so: what is built on it is held, too.
    """

    situation: Situation
    unsettled: frozenset[Key] = frozenset()
    steps: dict[Key, Step] = field(default_factory=dict)
    refusals: list[Refusal] = field(default_factory=list)
    identities: dict[Key, Mapping[str, Value]] = field(default_factory=dict)
    open: set[Key] = field(default_factory=set)
    left: dict[Key, Mapping[str, Value]] = field(default_factory=dict)
    missed: set[Key] = field(default_factory=set)

    def run(self) -> None:
        blind = set(self.situation.unreadable)
        for node in self.situation.graph.order():
            if not node.parents.isdisjoint(blind):
                blind.add(node.key)
            if self.situation.types[node.key.kind].read_only:
                self._look(node)
            elif node.key not in blind:
                self._visit(node)

    def lookup(self, ref: Ref) -> Value:
        if ref.key in self.unsettled or ref.key in self.open:
            return UNKNOWN
        if ref.key in self.left:
            return self.left[ref.key].get(ref.output, UNKNOWN)
        step = self.steps.get(ref.key)
        if step is not None:
            volatile = any_matches(self.situation.types[ref.key.kind].policy.volatile, (ref.output,))
            if volatile or step.action in (Action.CREATE, Action.REPLACE):
                return UNKNOWN
        return output_of(self.situation.seen, ref, UNKNOWN)

    def _look(self, node: Node) -> None:
        """What a read-only node says is open while it isn't known what it looks at."""
        if not is_known(node.resolved(self.lookup).identity):
            self.open.add(node.key)

    def _visit(self, node: Node) -> None:
        resolved = node.resolved(self.lookup)
        self.identities[node.key] = resolved.identity
        owner = self.situation.graph.owners[node.key]
        observed = self.situation.seen.get(node.key) if is_known(resolved.identity) else None
        if observed is None:
            self.steps[node.key] = self._hold(self._make(resolved, owner))
            return
        foreigner = foreign_owner(resolved.desired, observed.fields)
        if foreigner is not None and owner not in self.situation.adopters:
            self.refusals.append(
                Refusal(
                    resolved,
                    owner,
                    f"it exists already and belongs to {foreigner}",
                    _REFUSED,
                )
            )
            return
        step = self._mend(resolved, owner, observed, Action.ADOPT if foreigner is not None else None)
        if step is not None:
            self.steps[node.key] = self._hold(step)

    def _hold(self, step: Step) -> Step:
        """Say which policy keeps a step from being done, if one does."""
        leave = self.situation.leave(step.owner)
        if leave.held:
            return replace(step, held=leave.held)
        record, key = record_of(self.situation.records, step.node), step.node.key
        if any(edge in self.missed for edge in step.node.edges):
            self.missed.add(key)
            return replace(step, held="Drifted")
        if leave.correct or record is None or not is_known(step.node.desired):
            return step
        there = key in self.situation.seen and is_known(step.node.identity)
        policy = self.situation.types[key.kind].policy
        if not (there or record.expected) or diff(record.managed, record.fields, step.node.desired, policy):
            return step
        if there:
            self.left[key] = record.outputs
        else:
            self.missed.add(key)
        return replace(step, held="Drifted")

    def _make(self, node: Node, owner: Key) -> Step:
        kind = self.situation.types[node.key.kind]
        earlier = among(self.situation.records, node.key)
        record = record_of(earlier, node)
        lost = record is not None and record.outputs.get("finished") is not True
        if not earlier or lost:
            changes = tuple(Change(name, ABSENT, value) for name, value in sorted(node.desired.items()))
            gone = GONE if record is not None and record.expected else ""
            return Step(Action.CREATE, node, owner, changes, "; ".join(filter(None, (gone, kind.consequence))))
        # Told as what tells the new from the newest of its siblings, in every field: nothing of a sibling is live.
        changes = diff(None, earlier[-1].fields, node.desired, replace(kind.policy, ignore=frozenset()))
        forces = tuple(change.path for change in changes if _fixed(change, kind.policy))
        if not forces:
            named = _renamed(earlier[-1].identity, node.identity)
            told = {change.path for change in changes}
            changes = (*(change for change in named if change.path not in told), *changes)
            forces = tuple(change.path for change in named)
        sibling = kind.policy.revisioned or kind.superseded in ("keep", "collect")
        action = Action.REVISE if sibling else Action.REPLACE
        return Step(action, node, owner, changes, kind.consequence, forces=forces)

    def _mend(self, node: Node, owner: Key, observed: Observed, adopting: Action | None) -> Step | None:
        kind = self.situation.types[node.key.kind]
        record = record_of(self.situation.records, node)
        changes = diff(record.managed if record else None, observed.fields, node.desired, kind.policy)
        if not changes:
            return None
        fixed = [change.path for change in changes if _fixed(change, kind.policy)]
        if fixed and not kind.policy.revisioned:
            hint = "delete it by hand so that it is made anew, or take the change back"
            self.refusals.append(Refusal(node, owner, f"{', '.join(fixed)} can't be changed in place", hint))
            return None
        action = adopting or (Action.REVISE if kind.policy.revisioned else Action.UPDATE)
        return Step(action, node, owner, changes, kind.consequence if action is Action.REVISE else "")


def _fixed(change: Change, policy: FieldPolicy) -> bool:
    """Whether a change can't be made in place."""
    steps = tuple(change.path.split("."))
    return any(any_matches(policy.immutable, steps[:length]) for length in range(1, len(steps) + 1))


def _renamed(old: Mapping[str, Value], new: Mapping[str, Value]) -> tuple[Change, ...]:
    """What finds an object, where that changes: what can't be found by it any more is another object."""
    return tuple(
        Change(name, old.get(name, ABSENT), value) for name, value in sorted(new.items()) if old.get(name) != value
    )


def record_of(records: Iterable[Record], node: Node) -> Record | None:
    """The record of a node whose identity is resolved."""
    wanted = digest(node.key, node.identity)
    return next((record for record in among(records, node.key) if record.id == wanted), None)


def among(records: Iterable[Record], key: Key) -> Sequence[Record]:
    """The records of a key, oldest first."""
    return records.of(key) if isinstance(records, Records) else [record for record in records if record.key == key]


def _deletions(
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
    return record.owner in situation.declared


def _deletion(situation: Situation, record: Record, unreached: Collection[str]) -> Step:
    why = "superseded" if record.key in situation.graph.nodes else "no longer declared"
    history, held = record.id in unreached, situation.leave(record.owner).held
    why = "no longer reachable: no rollback leads to it" if history else why
    return Step(Action.DELETE, Node(record.key, record.identity), record.owner, (), why, held=held, history=history)
