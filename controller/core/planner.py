"""Make a plan from the graph, the observed objects and the records. Pure, so `plan` and `reconcile` can't differ."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from controller.core.diff import Change, diff
from controller.core.field_policy import FieldPolicy, any_matches
from controller.core.garbage_collection import plan_deletions
from controller.core.graph import Node, Observed, get_output
from controller.core.hold import find_hold_reason
from controller.core.ownership import find_foreign_owner
from controller.core.plan import MISSING_FROM_AWS, Action, Plan, PlanningInput, Refusal, Step, find_record, find_records
from controller.core.values import ABSENT, UNKNOWN, Key, Ref, Value, is_known

# The remedy for an object that belongs to others.
_REFUSAL_HINT = "rename the spec, remove that one first, or take it over with policy.adopt: true"


def make_plan(planning_input: PlanningInput) -> Plan:
    """Return the steps from the observed to the desired state: now, later, and the deletions."""
    now = _GraphWalk(planning_input)
    now.run()
    steps = list(now.steps.values())
    unsettled = _deferred_nodes(planning_input, now)
    if unsettled:
        then = _GraphWalk(planning_input, unsettled)
        then.run()
        steps += [step for key in then.steps if (step := _later_step(then.steps[key], now.steps.get(key)))]
    moving = frozenset(step.node.key for step in steps)
    return Plan((*steps, *plan_deletions(planning_input, now.identities, moving)), tuple(now.refusals))


def _later_step(step: Step, now: Step | None) -> Step | None:
    """Return what a later step changes beyond the step of now; None if that is nothing."""
    if now is None:
        return replace(step, later=True)
    more = tuple(change for change in step.changes if change not in now.changes)
    return replace(step, later=True, changes=more) if more else None


def _deferred_nodes(planning_input: PlanningInput, now: _GraphWalk) -> frozenset[Key]:
    """Return the read-only nodes whose result will differ once today's steps are executed.

    That is so if a step changes what they read, or leaves a value open that they take; not if it changes something else
    about the object, such as a tag.
    """
    nodes = [
        node for node in planning_input.graph.nodes.values() if planning_input.resource_types[node.key.kind].read_only
    ]
    return frozenset(
        node.key
        for node in nodes
        if node.key in planning_input.seen
        and (any(key in now.steps for key in node.reads) or not is_known(node.resolve(now.lookup).identity))
    )


@dataclass
class _GraphWalk:
    """One walk over the graph, parents first; values that a parent's step leaves open are unknown to its children.

    `drifted_outputs` are the last applied outputs of drifted nodes that a policy leaves: their children use those.
    `drifted_absent` are deleted objects that a policy leaves: their dependents are held, too.
    """

    planning_input: PlanningInput
    deferred: frozenset[Key] = frozenset()
    steps: dict[Key, Step] = field(default_factory=dict)
    refusals: list[Refusal] = field(default_factory=list)
    identities: dict[Key, Mapping[str, Value]] = field(default_factory=dict)
    undetermined: set[Key] = field(default_factory=set)
    drifted_outputs: dict[Key, Mapping[str, Value]] = field(default_factory=dict)
    drifted_absent: set[Key] = field(default_factory=set)

    def run(self) -> None:
        blind = set(self.planning_input.unreadable)
        for node in self.planning_input.graph.topological_order():
            if not node.parents.isdisjoint(blind):
                blind.add(node.key)
            if self.planning_input.resource_types[node.key.kind].read_only:
                self._visit_read_only(node)
            elif node.key not in blind:
                self._visit(node)

    def lookup(self, ref: Ref) -> Value:
        if ref.key in self.deferred or ref.key in self.undetermined:
            return UNKNOWN
        if ref.key in self.drifted_outputs:
            return self.drifted_outputs[ref.key].get(ref.output, UNKNOWN)
        step = self.steps.get(ref.key)
        if step is not None:
            volatile = any_matches(self.planning_input.resource_types[ref.key.kind].policy.volatile, (ref.output,))
            if volatile or step.action in (Action.CREATE, Action.REPLACE):
                return UNKNOWN
        return get_output(self.planning_input.seen, ref, UNKNOWN)

    def _visit_read_only(self, node: Node) -> None:
        """Treat a read-only node as undetermined while the identity of what it reads is unknown."""
        if not is_known(node.resolve(self.lookup).identity):
            self.undetermined.add(node.key)

    def _visit(self, node: Node) -> None:
        resolved = node.resolve(self.lookup)
        self.identities[node.key] = resolved.identity
        owner = self.planning_input.graph.owners[node.key]
        observed = self.planning_input.seen.get(node.key) if is_known(resolved.identity) else None
        if observed is None and node.reference_field and is_known(resolved.identity):
            self.refusals.append(Refusal(resolved, owner, *resolved.missing_message))
            return
        if observed is None:
            self.steps[node.key] = self._apply_policy(self._plan_creation(resolved, owner))
            return
        foreigner = find_foreign_owner(resolved.desired, observed.fields)
        if foreigner is not None and owner not in self.planning_input.adopting_specs:
            self.refusals.append(
                Refusal(
                    resolved,
                    owner,
                    f"it exists already and belongs to {foreigner}",
                    _REFUSAL_HINT,
                )
            )
            return
        step = self._plan_change(resolved, owner, observed, Action.ADOPT if foreigner is not None else None)
        if step is not None:
            self.steps[node.key] = self._apply_policy(step)

    def _apply_policy(self, step: Step) -> Step:
        """Mark a step that a policy holds, and remember drift that stays for the nodes that depend on it."""
        key, policy = step.node.key, self.planning_input.policy_for(step.owner)
        if not policy.held_reason and any(edge in self.drifted_absent for edge in step.node.edges):
            self.drifted_absent.add(key)
            return replace(step, held="Drifted")
        record = find_record(self.planning_input.records, step.node)
        exists = key in self.planning_input.seen and is_known(step.node.identity)
        held = find_hold_reason(
            policy, record, step.node, self.planning_input.resource_types[key.kind].policy, exists=exists
        )
        if held == "Drifted" and not exists:
            self.drifted_absent.add(key)
        elif held == "Drifted" and record is not None:
            self.drifted_outputs[key] = record.outputs
        return replace(step, held=held)

    def _plan_creation(self, node: Node, owner: Key) -> Step:
        kind = self.planning_input.resource_types[node.key.kind]
        earlier = find_records(self.planning_input.records, node.key)
        record = find_record(earlier, node)
        lost = record is not None and record.outputs.get("finished") is not True
        if not earlier or lost:
            changes = tuple(Change(name, ABSENT, value) for name, value in sorted(node.desired.items()))
            absent = MISSING_FROM_AWS if record is not None and record.should_exist else ""
            return Step(Action.CREATE, node, owner, changes, "; ".join(filter(None, (absent, kind.consequence))))
        # Show every field that distinguishes the new object from its newest sibling: nothing of the sibling is live.
        changes = diff(None, earlier[-1].fields, node.desired, replace(kind.policy, ignore=frozenset()))
        forces = tuple(change.path for change in changes if _is_immutable(change, kind.policy))
        if not forces:
            named = _identity_changes(earlier[-1].identity, node.identity)
            reported = {change.path for change in changes}
            changes = (*(change for change in named if change.path not in reported), *changes)
            forces = tuple(change.path for change in named)
        sibling = kind.policy.revisioned or kind.superseded_policy in ("keep", "collect")
        action = Action.REVISE if sibling else Action.REPLACE
        return Step(action, node, owner, changes, kind.consequence, forces=forces)

    def _plan_change(self, node: Node, owner: Key, observed: Observed, adopting: Action | None) -> Step | None:
        kind = self.planning_input.resource_types[node.key.kind]
        record = find_record(self.planning_input.records, node)
        changes = diff(record.managed_fields if record else None, observed.fields, node.desired, kind.policy)
        if not changes:
            return None
        fixed = [change.path for change in changes if _is_immutable(change, kind.policy)]
        if fixed and not kind.policy.revisioned:
            hint = "delete it by hand so that it is made anew, or take the change back"
            self.refusals.append(Refusal(node, owner, f"{', '.join(fixed)} can't be changed in place", hint))
            return None
        action = adopting or (Action.REVISE if kind.policy.revisioned else Action.UPDATE)
        return Step(action, node, owner, changes, kind.consequence if action is Action.REVISE else "")


def _is_immutable(change: Change, policy: FieldPolicy) -> bool:
    """Return whether a change can't be made in place."""
    steps = tuple(change.path.split("."))
    return any(any_matches(policy.immutable, steps[:length]) for length in range(1, len(steps) + 1))


def _identity_changes(old: Mapping[str, Value], new: Mapping[str, Value]) -> tuple[Change, ...]:
    """Return the changes of an identity: an object that it no longer finds is another object."""
    return tuple(
        Change(name, old.get(name, ABSENT), value) for name, value in sorted(new.items()) if old.get(name) != value
    )
