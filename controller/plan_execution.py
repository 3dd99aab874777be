"""Carries out a plan: every node in order, parents first, gets its step and its verdict; then what is left over goes.

A node waits for those it is built on. What fails, fails alone: whatever isn't built on it goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Literal

from controller.core.diff import diff
from controller.core.drift import Origin, find_field_differences, format_drift
from controller.core.graph import Graph, Node, Observed, Target, get_output
from controller.core.plan import MISSING_FROM_AWS, Action, EffectivePolicy, Plan, Step, find_record
from controller.core.record import Record
from controller.core.status import Failed, Held, Ready, Verdict, Waiting
from controller.core.values import UNKNOWN, Key, Ref, Value, digest, is_known, resolve
from controller.errors import CredentialsError, LeaseHeldError, MoorageError, Remedy
from controller.step_executor import StepExecutor

_NOT_CORRECTED = "policy.driftCorrection is false"
StepEventHandler = Callable[[Step, Literal["Normal", "Warning"], str, str], None]


@dataclass
class PlanExecution:
    """One plan being carried out, spec by spec: the Environment first, then its ModelServices in any order, or at once.

    Threads may share one, each with specs of its own: no ModelService is built on another. `halt` is called before
    each node and raises when no more may be begun. After `run`, `verdicts` has one for each of the spec's nodes, `done`
    the steps that worked (`done_of`: by spec), `left` what drifted and is left so, with the outputs it was applied with,
    and `fresh` the nodes that came into being, changed, or were looked at once more.
    """

    executor: StepExecutor
    graph: Graph
    plan: Plan
    seen: dict[Key, Observed]
    records: Collection[Record]
    unreadable: Mapping[Key, MoorageError]
    spec_policies: Mapping[Key, EffectivePolicy]
    on_step_event: StepEventHandler
    raise_if_cancelled: Callable[[], None] = lambda: None
    verdicts: dict[Key, Verdict] = field(default_factory=dict)
    deletion_verdicts: dict[Key, list[Verdict]] = field(default_factory=dict)
    completed_steps: list[Step] = field(default_factory=list)
    completed_by_owner: dict[Key, list[Step]] = field(default_factory=dict)
    drifted_outputs: dict[Key, Mapping[str, Value]] = field(default_factory=dict)
    refreshed: set[Key] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._surveyed = dict(self.seen)

    @cached_property
    def _later_nodes(self) -> frozenset[Key]:
        """The nodes that are still to follow what this pass brings: they aren't as they are wanted by now."""
        return frozenset(step.node.key for step in self.plan.steps if step.later)

    def run(self, owner: Key) -> None:
        """Make one spec's nodes as far as that can be done now; `later` steps are for a later pass."""
        plan = self.plan.for_owner(owner)
        steps = {step.node.key: step for step in plan.steps if not step.later and step.action is not Action.DELETE}
        refusals = {refusal.node.key: refusal for refusal in plan.refusals}
        for node in self.graph.nodes_of(owner):
            self.raise_if_cancelled()
            refusal = refusals.get(node.key)
            if refusal is not None:
                self.verdicts[node.key] = Failed("Refused", f"{refusal.message}; {refusal.hint}")
            else:
                self.verdicts[node.key] = self._reconcile_node(node, steps.get(node.key))

    def collect_garbage(self, owner: Key, *, defer: bool = False) -> None:
        """Delete what one spec no longer wants, once nothing needs it; `later`: not in this pass."""
        for step in self.plan.for_owner(owner).steps:
            if step.action is Action.DELETE and not step.held:
                self.raise_if_cancelled()
                unused = Waiting("Superseded", f"{step.node.key} goes once nothing needs it", failing=True)
                waiting = unused if defer else self._delete(step)
                if waiting is not None:
                    self.deletion_verdicts.setdefault(owner, []).append(waiting)

    def _reconcile_node(self, node: Node, step: Step | None) -> Verdict:
        if node.key in self.unreadable:
            return verdict_for_error(self.unreadable[node.key])
        kind = self.executor.registry[node.key.kind]
        resolved = node.resolve(self._resolve_ref)
        blocker = self._find_blocker(node.edges)
        if kind.read_only:
            # Looked up by what isn't there yet, it would still tell of what was there before.
            stop = self._find_blocker(node.parents) or self._reread(node, resolved)
            if stop is not None:
                return stop
        if step is not None:
            absent = node.key not in self._surveyed and self._surveyed_identity(node) == resolved.identity
            stop = blocker or self._policy_verdict(step, resolved) or self._perform(step, resolved, absent=absent)
            if stop is not None:
                return stop
        seen = self.seen.get(node.key)
        if seen is None:
            return blocker or Failed("NotFound", f"{node.key} is not there")
        mine = not kind.read_only and not node.is_external
        if step is None and mine and is_known(resolved.desired) and node.key not in self._later_nodes:
            owner = self.graph.owners[node.key]
            known = find_record(self.records, resolved)
            self.executor.save_record(
                resolved, owner, seen, retain=self._is_retained(node.key, owner, seen), surveyed_record=known
            )
        return kind.ready(resolved, seen)

    def _reread(self, node: Node, resolved: Node) -> Verdict | None:
        """Look again at a read-only node when what it is found by came into being or changed in this pass.

        Gives why it can't be read: that concerns what is built on it, and nothing else.
        """
        if not is_known(resolved.identity) or resolved.edges.isdisjoint(self.refreshed):
            return None
        if node.key in self._surveyed and self._surveyed_identity(node) == resolved.identity:
            # The plan was made of what it gave then. Another value now would meet old ones in one object.
            return None
        target = Target(resolved.key, resolved.identity)
        try:
            found = self.executor.registry[resolved.key.kind].observe(self.executor.aws, [target])
        except (CredentialsError, LeaseHeldError):
            raise
        except MoorageError as error:
            return verdict_for_error(error)
        self.seen |= found
        self.refreshed |= found.keys()
        return None

    def _surveyed_identity(self, node: Node) -> Mapping[str, Value]:
        """What the survey looked for."""
        found: Mapping[str, Value] = resolve(node.identity, lambda ref: get_output(self._surveyed, ref, UNKNOWN))
        return found

    def _policy_verdict(self, step: Step, resolved: Node) -> Verdict | None:
        """Why a step is not done though it could be: the spec's policy."""
        leave = self.spec_policies[step.owner]
        if leave.held_reason:
            return Held(leave.held_reason, leave.held_message)
        return None if leave.correct_drift else self._held_drift_verdict(replace(step, node=resolved))

    def _held_drift_verdict(self, step: Step) -> Verdict | None:
        """The verdict on a node that only others changed, and that is left so; None where the spec asks for the step."""
        record, seen = find_record(self.records, step.node), self.seen.get(step.node.key)
        kind = self.executor.registry[step.node.key.kind]
        if record is None or not (record.should_exist or seen) or not is_known(step.node.desired):
            return None
        if diff(record.managed_fields, record.fields, step.node.desired, kind.policy):
            return None
        self.drifted_outputs[step.node.key] = record.outputs
        if seen is None:
            verdict: Verdict = Held("Drifted", f"{step.node.key} is gone from AWS, and left so: {_NOT_CORRECTED}")
        else:
            changes = diff(record.managed_fields, seen.fields, step.node.desired, kind.policy)
            if not changes:
                return kind.ready(step.node, seen)
            judged = kind.ready(step.node, seen)
            if isinstance(judged, Failed):
                return judged
            found = find_field_differences(replace(step, changes=changes), self.records, seen, kind.policy)
            line = f"{step.node.key} was changed by somebody else, and left so: {format_drift(found)}"
            verdict = Ready("Drifted", line)
        self.on_step_event(step, "Warning", verdict.reason, verdict.message)
        return verdict

    def _perform(self, step: Step, resolved: Node, *, absent: bool) -> Verdict | None:
        if not (is_known(resolved.identity) and is_known(resolved.desired)):
            return Waiting("Unresolved", "a value it needs is not known yet", 1)
        current = Step(step.action, resolved, step.owner, step.changes, step.why)
        drift = self._describe_drift(current)
        try:
            retain = self._is_retained(step.node.key, step.owner)
            self.seen[step.node.key] = self.executor.execute(current, retain=retain, absent=absent)
        except LeaseHeldError:
            raise
        except MoorageError as error:
            self.on_step_event(step, "Warning", reason_for_error(error), str(error))
            return verdict_for_error(error)
        self._add_completed(current)
        self.refreshed.add(step.node.key)
        if drift:
            self.on_step_event(step, "Warning", "Drifted", drift)
        self.on_step_event(step, "Normal", step.action.event_reason, summarize_step(step))
        return None

    def _describe_drift(self, step: Step) -> str:
        """What of a step puts back what somebody else did, in one line."""
        seen, policy = self.seen.get(step.node.key), self.executor.registry[step.node.key.kind].policy
        found = find_field_differences(step, self.records, seen, policy)
        if seen is None:
            return MISSING_FROM_AWS if any(difference.origin is Origin.DRIFT for difference in found) else ""
        line = format_drift(found)
        return f"changed by somebody else: {line}" if line else ""

    def _delete(self, step: Step) -> Verdict | None:
        """Once all that its spec wants is there, what it no longer wants may go; a removed spec's things go at once.

        History isn't waited for: what the spec itself waits for says when to look again.
        """
        if step.collects_history and not self._is_settled(step.owner):
            return None
        if self._is_still_needed(step):
            return Waiting("Superseded", f"{step.node.key} goes once nothing needs it")
        try:
            waiting = self.executor.delete(step)
        except LeaseHeldError:
            raise
        except MoorageError as error:
            self.on_step_event(step, "Warning", reason_for_error(error), str(error))
            return verdict_for_error(error)
        if waiting is None:
            self._add_completed(step)
            self.on_step_event(step, "Normal", "Stopped" if self._is_stop(step) else "Deleted", step.why)
        return waiting

    def _is_stop(self, step: Step) -> bool:
        """Whether it only ends what may still run, which nothing has to be ready for."""
        return self.executor.registry[step.node.key.kind].superseded_policy == "stop" and not step.collects_history

    def _is_settled(self, owner: Key) -> bool:
        """Whether all of a spec was ready before this pass did anything: only then it is known what serves."""
        moved = any(step.action is not Action.DELETE for step in self.completed_by_owner.get(owner, ()))
        moves = any(step.later for step in self.plan.for_owner(owner).steps)
        return self._all_ready(owner) and not moved and not moves

    def _all_ready(self, owner: Key) -> bool:
        return all(isinstance(self.verdicts[node.key], Ready) for node in self.graph.nodes_of(owner))

    def _is_still_needed(self, step: Step) -> bool:
        if self._is_stop(step):
            return False
        # What belongs to a ModelService is built on by nothing of another.
        plan = self.plan if step.owner.kind == "Environment" else self.plan.for_owner(step.owner)
        leaving = [other.node for other in plan.steps if other.action is Action.DELETE]
        left = (
            self.executor.store.get_record(digest(node.key, node.identity))
            for node in leaving
            if node.key != step.node.key
        )
        built_on = any(record is not None and step.node.key in record.edges for record in left)
        return built_on or not self._all_ready(step.owner)

    def _find_blocker(self, edges: Iterable[Key]) -> Verdict | None:
        """Why a node has to wait for another: the first of its edges that can't be built upon yet."""
        for edge in sorted(edges):
            verdict = self.verdicts[edge]
            if not isinstance(verdict, Ready):
                # A chain of waiting nodes is told by its end: only that one can do something about it.
                message = (
                    verdict.message
                    if verdict.message.startswith("waits for ")
                    else f"waits for {edge}: {verdict.message or verdict.reason}"
                )
                return (
                    replace(verdict, reason="Blocked", message=message)
                    if isinstance(verdict, Waiting)
                    else type(verdict)(verdict.reason, message)
                )
        return None

    def _add_completed(self, step: Step) -> None:
        self.completed_steps.append(step)
        self.completed_by_owner.setdefault(step.owner, []).append(step)

    def _resolve_ref(self, ref: Ref) -> Value:
        """What a Ref stands for; what drifted and is left so still gives what it was applied as."""
        if ref.key in self.drifted_outputs:
            return self.drifted_outputs[ref.key].get(ref.output, UNKNOWN)
        return get_output(self.seen, ref, UNKNOWN)

    def _is_retained(self, key: Key, owner: Key, seen: Observed | None = None) -> bool:
        """Whether it outlives its spec. What still runs is nothing to be kept yet: it has to be stopped."""
        kind = self.executor.registry[key.kind]
        runs = kind.superseded_policy == "stop" and not (seen and seen.outputs.get("finished") is True)
        return ("" if runs else kind.retention_category) in self.spec_policies[owner].retained_categories

    def failed_deletions(self, owner: Key) -> list[Verdict]:
        """Why something that one spec no longer wants could not be deleted, where waiting doesn't help."""
        return [verdict for verdict in self.deletion_verdicts.get(owner, ()) if not isinstance(verdict, Waiting)]

    def waiting_verdicts(self, owner: Key) -> list[Waiting]:
        """What one spec waits for; what AWS doesn't show yet is as good as done, and still to be looked at."""
        keys = [node.key for node in self.graph.nodes_of(owner)]
        hidden = (
            Waiting("Unshown", f"AWS doesn't show yet what {key} became", 2.0)
            for key in keys
            if self._is_unconfirmed(key)
        )
        verdicts = (*(self.verdicts[key] for key in keys), *hidden, *self.deletion_verdicts.get(owner, ()))
        return [verdict for verdict in verdicts if isinstance(verdict, Waiting)]

    def _is_unconfirmed(self, key: Key) -> bool:
        return self.executor.mutation_cache.is_unconfirmed(key)


def verdict_for_error(error: MoorageError) -> Verdict:
    """What an error means for its node: waiting where waiting helps."""
    if error.remedy in (Remedy.SOON, Remedy.DEPENDENCY):
        return Waiting(reason_for_error(error), str(error), getattr(error, "retry_after", None) or 2.0, failing=True)
    return (Held if error.exit_code == 5 else Failed)(reason_for_error(error), str(error))


def reason_for_error(error: MoorageError) -> str:
    """An error's class as a condition's reason: `AnswerLost`, `Denied`."""
    return type(error).__name__.removesuffix("Error")


def summarize_step(step: Step) -> str:
    """A step in one line: what it means, or what it changes; a new object is told by its name alone."""
    if step.action in (Action.CREATE, Action.REPLACE):
        return step.why
    paths = [change.path for change in step.changes]
    more = f" and {len(paths) - 4} more" if len(paths) > 4 else ""
    return step.why or ", ".join(paths[:4]) + more
