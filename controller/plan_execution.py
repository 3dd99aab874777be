"""Execute a plan: apply every node in order, parents first, give it a verdict, then delete what no spec needs.

A node waits for the nodes that it depends on. An error concerns its node and the dependents; all other nodes go on.
"""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Literal, Protocol

from controller.core.diff import diff
from controller.core.drift import Origin, find_field_differences, format_drift
from controller.core.graph import Node, Observed, Target, get_output
from controller.core.hold import find_hold_reason
from controller.core.plan import MISSING_FROM_AWS, Action, EffectivePolicy, Step, find_record
from controller.core.status import Failed, Held, Ready, Verdict, Waiting, reason_for_error, verdict_for_error
from controller.core.values import UNKNOWN, Key, Ref, Value, digest, is_known, resolve
from controller.errors import CredentialsError, LeaseHeldError, MoorageError
from controller.step_executor import StepExecutor
from controller.survey import Survey

_NOT_CORRECTED = "policy.driftCorrection is false"


class StepEventSink(Protocol):
    """Receives what happens to steps."""

    def record_event(self, step: Step, kind: Literal["Normal", "Warning"], reason: str, message: str) -> None:
        """Record one event of a step."""


@dataclass
class SpecProgress:
    """How far one spec's part of a plan has come. Only the thread that executes the spec changes it.

    `seen` shows the survey's objects as this execution changed them. `drifted_outputs` are the last applied outputs of
    drifted nodes that a policy leaves; `refreshed` are the nodes that were applied or observed again.
    """

    seen: ChainMap[Key, Observed]
    verdicts: dict[Key, Verdict] = field(default_factory=dict)
    deletion_verdicts: list[Verdict] = field(default_factory=list)
    completed_steps: list[Step] = field(default_factory=list)
    drifted_outputs: dict[Key, Mapping[str, Value]] = field(default_factory=dict)
    refreshed: set[Key] = field(default_factory=set)


@dataclass(frozen=True)
class PlanExecution:
    """The execution of a survey's plan, spec by spec: the Environment first, then its ModelServices in any order.

    Several threads may share it, each with specs of its own, because no ModelService depends on another.
    `raise_if_cancelled` is called before each node. `run` never raises a MoorageError that concerns a single node: it
    becomes the node's verdict. LeaseHeldError and CredentialsError end the run.
    """

    executor: StepExecutor
    survey: Survey
    events: StepEventSink
    raise_if_cancelled: Callable[[], None] = lambda: None
    _progress: dict[Key, SpecProgress] = field(default_factory=dict)

    def __post_init__(self) -> None:
        environment, *_ = owners = [*self.survey.contexts_by_owner, *self.survey.removed_specs]
        shared: dict[Key, Observed] = {}
        for owner in owners:
            maps = [shared] if owner == environment else [{}, shared]
            self._progress[owner] = SpecProgress(ChainMap(*maps, self.survey.seen))

    def progress_of(self, owner: Key) -> SpecProgress:
        """Return one spec's progress."""
        return self._progress[owner]

    def policy_of(self, owner: Key) -> EffectivePolicy:
        """Return what one spec's policy allows."""
        return self.survey.policies[owner]

    @cached_property
    def _later_nodes(self) -> frozenset[Key]:
        """The nodes that a later step changes: the present ones aren't as the spec wants them yet."""
        return frozenset(step.node.key for step in self.survey.plan.steps if step.later)

    def run(self, owner: Key) -> None:
        """Apply one spec's nodes as far as that is possible now; `later` steps are for a later pass."""
        plan, verdicts = self.survey.plan.for_owner(owner), self.progress_of(owner).verdicts
        steps = {step.node.key: step for step in plan.steps if not step.later and step.action is not Action.DELETE}
        refusals = {refusal.node.key: refusal for refusal in plan.refusals}
        for node in self.survey.graph.nodes_of(owner):
            self.raise_if_cancelled()
            refusal = refusals.get(node.key)
            if refusal is not None:
                verdicts[node.key] = Failed("Refused", f"{refusal.message}; {refusal.hint}")
            else:
                verdicts[node.key] = self._reconcile_node(node, steps.get(node.key))

    def collect_garbage(self, owner: Key, *, defer: bool = False) -> None:
        """Delete the objects that one spec no longer needs; with `defer`, leave them to a later pass."""
        for step in self.survey.plan.for_owner(owner).steps:
            if step.action is Action.DELETE and not step.held:
                self.raise_if_cancelled()
                deferred = Waiting("Superseded", f"{step.node.key} goes once nothing needs it", failing=True)
                waiting = deferred if defer else self._delete(step)
                if waiting is not None:
                    self.progress_of(owner).deletion_verdicts.append(waiting)

    def failed_deletions(self, owner: Key) -> list[Verdict]:
        """Return why one spec's objects can't be deleted, without the verdicts that waiting helps."""
        return [verdict for verdict in self.progress_of(owner).deletion_verdicts if not isinstance(verdict, Waiting)]

    def waiting_verdicts(self, owner: Key) -> list[Waiting]:
        """Return what one spec waits for, with the writes that AWS doesn't show yet."""
        progress, keys = self.progress_of(owner), [node.key for node in self.survey.graph.nodes_of(owner)]
        unconfirmed = (
            Waiting("Unshown", f"AWS doesn't show yet what {key} became", 2.0)
            for key in keys
            if self.executor.mutation_cache.is_unconfirmed(key)
        )
        verdicts = (*(progress.verdicts[key] for key in keys), *unconfirmed, *progress.deletion_verdicts)
        return [verdict for verdict in verdicts if isinstance(verdict, Waiting)]

    def _progress_with(self, key: Key) -> SpecProgress:
        """Return the progress of the spec that a node belongs to."""
        return self._progress[self.survey.graph.owners[key]]

    def _reconcile_node(self, node: Node, step: Step | None) -> Verdict:
        if node.key in self.survey.unreadable:
            return verdict_for_error(self.survey.unreadable[node.key])
        kind = self.executor.registry[node.key.kind]
        resolved = node.resolve(self._resolve_ref)
        blocker = self._find_blocker(node.edges)
        if kind.read_only:
            # Don't read again before its parents exist: the result would be stale.
            stop = self._find_blocker(node.parents) or self._reread(node, resolved)
            if stop is not None:
                return stop
        if step is not None:
            absent = node.key not in self.survey.seen and self._surveyed_identity(node) == resolved.identity
            stop = blocker or self._hold(step, resolved) or self._apply(step, resolved, absent=absent)
            if stop is not None:
                return stop
        seen = self._progress_with(node.key).seen.get(node.key)
        if seen is None:
            return blocker or Failed("NotFound", f"{node.key} is not there")
        managed = not kind.read_only and not node.is_external
        if step is None and managed and is_known(resolved.desired) and node.key not in self._later_nodes:
            owner, known = self.survey.graph.owners[node.key], find_record(self.survey.records, resolved)
            retain = self._is_retained(node.key, owner, seen)
            self.executor.save_record(resolved, owner, seen, retain=retain, surveyed_record=known)
        return kind.ready(resolved, seen)

    def _reread(self, node: Node, resolved: Node) -> Verdict | None:
        """Observe a read-only node again if a node of its identity was created or changed in this pass.

        Returns why it can't be read, which concerns its dependents and nothing else.
        """
        if not is_known(resolved.identity) or not any(self._is_refreshed(edge) for edge in resolved.edges):
            return None
        if node.key in self.survey.seen and self._surveyed_identity(node) == resolved.identity:
            # The plan was made from the surveyed value; a newer one would meet old ones in the same object.
            return None
        target = Target(resolved.key, resolved.identity)
        try:
            found = self.executor.registry[resolved.key.kind].observe(self.executor.aws, [target])
        except (CredentialsError, LeaseHeldError):
            raise
        except MoorageError as error:
            return verdict_for_error(error)
        progress = self._progress_with(node.key)
        progress.seen |= found
        progress.refreshed |= found.keys()
        return None

    def _is_refreshed(self, key: Key) -> bool:
        return key in self._progress_with(key).refreshed

    def _surveyed_identity(self, node: Node) -> Mapping[str, Value]:
        """Return the identity that the survey looked for."""
        found: Mapping[str, Value] = resolve(node.identity, lambda ref: get_output(self.survey.seen, ref, UNKNOWN))
        return found

    def _hold(self, step: Step, resolved: Node) -> Verdict | None:
        """Return the verdict on a step that the spec's policy holds; None if it may be executed."""
        policy, step = self.policy_of(step.owner), replace(step, node=resolved)
        record, kind = find_record(self.survey.records, resolved), self.executor.registry[resolved.key.kind]
        exists = resolved.key in self._progress_with(resolved.key).seen
        reason = find_hold_reason(policy, record, resolved, kind.policy, exists=exists)
        if not reason:
            return None
        if reason != "Drifted" or record is None:
            return Held(reason, policy.held_message)
        self._progress_with(resolved.key).drifted_outputs[resolved.key] = record.outputs
        return self._drift_verdict(step)

    def _drift_verdict(self, step: Step) -> Verdict:
        """Return the verdict on a node that others changed or deleted, and that the policy leaves that way."""
        key, kind = step.node.key, self.executor.registry[step.node.key.kind]
        seen, record = self._progress_with(key).seen.get(key), find_record(self.survey.records, step.node)
        if seen is None:
            verdict: Verdict = Held("Drifted", f"{key} is gone from AWS, and left so: {_NOT_CORRECTED}")
        else:
            managed_fields = record.managed_fields if record else None
            changes = diff(managed_fields, seen.fields, step.node.desired, kind.policy)
            readiness = kind.ready(step.node, seen)
            if not changes or isinstance(readiness, Failed):
                return readiness
            found = find_field_differences(replace(step, changes=changes), self.survey.records, seen, kind.policy)
            verdict = Ready("Drifted", f"{key} was changed by somebody else, and left so: {format_drift(found)}")
        self.events.record_event(step, "Warning", verdict.reason, verdict.message)
        return verdict

    def _apply(self, step: Step, resolved: Node, *, absent: bool) -> Verdict | None:
        """Apply a step. Returns why that isn't possible; None if it was applied."""
        if not (is_known(resolved.identity) and is_known(resolved.desired)):
            return Waiting("Unresolved", "a value it needs is not known yet", 1)
        key, progress = step.node.key, self.progress_of(step.owner)
        current = Step(step.action, resolved, step.owner, step.changes, step.why)
        drift = self._describe_drift(current)
        try:
            retain = self._is_retained(key, step.owner)
            progress.seen[key] = self.executor.execute(current, retain=retain, absent=absent)
        except LeaseHeldError:
            raise
        except MoorageError as error:
            self.events.record_event(step, "Warning", reason_for_error(error), str(error))
            return verdict_for_error(error)
        progress.completed_steps.append(current)
        progress.refreshed.add(key)
        if drift:
            self.events.record_event(step, "Warning", "Drifted", drift)
        self.events.record_event(step, "Normal", step.action.event_reason, step.summary)
        return None

    def _describe_drift(self, step: Step) -> str:
        """Return in one line what a step restores that others changed or deleted; empty for nothing."""
        key, policy = step.node.key, self.executor.registry[step.node.key.kind].policy
        seen = self._progress_with(key).seen.get(key)
        found = find_field_differences(step, self.survey.records, seen, policy)
        if seen is None:
            return MISSING_FROM_AWS if any(difference.origin is Origin.DRIFT for difference in found) else ""
        line = format_drift(found)
        return f"changed by somebody else: {line}" if line else ""

    def _delete(self, step: Step) -> Verdict | None:
        """Delete an object that its spec no longer needs. Returns why it is still there; None if it is deleted.

        A declared spec's object goes once all the spec needs is ready; a removed spec's object goes at once. History
        isn't waited for: the spec's own waiting verdicts say when to look again.
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
            self.events.record_event(step, "Warning", reason_for_error(error), str(error))
            return verdict_for_error(error)
        if waiting is None:
            self.progress_of(step.owner).completed_steps.append(step)
            self.events.record_event(step, "Normal", "Stopped" if self._is_stop(step) else "Deleted", step.why)
        return waiting

    def _is_stop(self, step: Step) -> bool:
        """Whether the step only stops a job that may still run, for which nothing has to be ready."""
        return self.executor.registry[step.node.key.kind].superseded_policy == "stop" and not step.collects_history

    def _is_settled(self, owner: Key) -> bool:
        """Whether a spec was ready before this pass changed anything: only then is it known which objects serve."""
        changed = any(step.action is not Action.DELETE for step in self.progress_of(owner).completed_steps)
        pending = any(step.later for step in self.survey.plan.for_owner(owner).steps)
        return self._all_ready(owner) and not changed and not pending

    def _all_ready(self, owner: Key) -> bool:
        verdicts = self.progress_of(owner).verdicts
        return all(isinstance(verdicts[node.key], Ready) for node in self.survey.graph.nodes_of(owner))

    def _is_still_needed(self, step: Step) -> bool:
        if self._is_stop(step):
            return False
        # No other spec depends on an object of a ModelService.
        plan = self.survey.plan if step.owner.kind == "Environment" else self.survey.plan.for_owner(step.owner)
        deletions = [other.node for other in plan.steps if other.action is Action.DELETE]
        remaining = (
            self.executor.store.get_record(digest(node.key, node.identity))
            for node in deletions
            if node.key != step.node.key
        )
        has_dependents = any(record is not None and step.node.key in record.edges for record in remaining)
        return has_dependents or not self._all_ready(step.owner)

    def _find_blocker(self, edges: Iterable[Key]) -> Verdict | None:
        """Return the verdict of a node that waits for another: the first of its edges that isn't ready.

        A chain of waiting nodes reports its root blocker, the only one that a person can do something about.
        """
        for edge in sorted(edges):
            verdict = self._progress_with(edge).verdicts[edge]
            if isinstance(verdict, Ready):
                continue
            message = verdict.message
            if not message.startswith("waits for "):
                message = f"waits for {edge}: {message or verdict.reason}"
            if isinstance(verdict, Waiting):
                return replace(verdict, reason="Blocked", message=message)
            return type(verdict)(verdict.reason, message)
        return None

    def _resolve_ref(self, ref: Ref) -> Value:
        """Return what a Ref stands for. Drift that the policy leaves keeps the outputs that were last applied."""
        progress = self._progress_with(ref.key)
        if ref.key in progress.drifted_outputs:
            return progress.drifted_outputs[ref.key].get(ref.output, UNKNOWN)
        return get_output(progress.seen, ref, UNKNOWN)

    def _is_retained(self, key: Key, owner: Key, seen: Observed | None = None) -> bool:
        """Whether an object outlives its spec. A job that still runs doesn't: it has to be stopped first."""
        kind = self.executor.registry[key.kind]
        is_running = kind.superseded_policy == "stop" and not (seen and seen.outputs.get("finished") is True)
        return ("" if is_running else kind.retention_category) in self.policy_of(owner).retained_categories
