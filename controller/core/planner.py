"""From the graph, what is there and what was applied: the steps. Pure, so `plan` and `reconcile` can't differ."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from controller.core.diff import Change, diff
from controller.core.graph import Node, Observed, output_of
from controller.core.leftover import deletions
from controller.core.ownership import foreign_owner
from controller.core.plan import GONE, Action, Plan, Refusal, Situation, Step, among, record_of
from controller.core.policy import FieldPolicy, any_matches
from controller.core.values import ABSENT, UNKNOWN, Key, Ref, Value, is_known

# What helps against a stranger's object.
_REFUSED = "rename the spec, remove that one first, or take it over with policy.adopt: true"


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
    return Plan((*steps, *deletions(situation, now.identities, moving)), tuple(now.refusals))


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
        if observed is None and node.named and is_known(resolved.identity):
            self.refusals.append(Refusal(resolved, owner, *resolved.absence))
            return
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
