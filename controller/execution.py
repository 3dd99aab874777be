"""Carries out a plan: every node in order, parents first, gets its step and its verdict; then what is left over goes.

A node waits for those it is built on. What fails, fails alone: whatever isn't built on it goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Literal

from controller.core.diff import diff
from controller.core.drift import Origin, differences, told
from controller.core.graph import Graph, Node, Observed, Target, output_of
from controller.core.plan import GONE, Action, Leave, Plan, Step, record_of
from controller.core.record import Record
from controller.core.status import Failed, Held, Ready, Verdict, Waiting
from controller.core.values import UNKNOWN, Key, Ref, Value, digest, is_known, resolve
from controller.errors import CredentialsError, LeaseHeldError, MoorageError, Remedy
from controller.executor import Executor

_NOT_CORRECTED = "policy.driftCorrection is false"
Tell = Callable[[Step, Literal["Normal", "Warning"], str, str], None]


@dataclass
class Execution:
    """One plan being carried out, spec by spec: the Environment first, then its ModelServices in any order, or at once.

    Threads may share one, each with specs of its own: no ModelService is built on another. `halt` is called before
    each node and raises when no more may be begun. After `run`, `verdicts` has one for each of the spec's nodes, `done`
    the steps that worked (`done_of`: by spec), `left` what drifted and is left so, with the outputs it was applied with,
    and `fresh` the nodes that came into being, changed, or were looked at once more.
    """

    executor: Executor
    graph: Graph
    plan: Plan
    seen: dict[Key, Observed]
    records: Collection[Record]
    unreadable: Mapping[Key, MoorageError]
    leaves: Mapping[Key, Leave]
    tell: Tell
    halt: Callable[[], None] = lambda: None
    verdicts: dict[Key, Verdict] = field(default_factory=dict)
    deleting: dict[Key, list[Verdict]] = field(default_factory=dict)
    done: list[Step] = field(default_factory=list)
    done_of: dict[Key, list[Step]] = field(default_factory=dict)
    left: dict[Key, Mapping[str, Value]] = field(default_factory=dict)
    fresh: set[Key] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._surveyed = dict(self.seen)

    @cached_property
    def _later(self) -> frozenset[Key]:
        """The nodes that are still to follow what this pass brings: they aren't as they are wanted by now."""
        return frozenset(step.node.key for step in self.plan.steps if step.later)

    def run(self, owner: Key) -> None:
        """Make one spec's nodes as far as that can be done now; `later` steps are for a later pass."""
        plan = self.plan.of(owner)
        steps = {step.node.key: step for step in plan.steps if not step.later and step.action is not Action.DELETE}
        refusals = {refusal.node.key: refusal for refusal in plan.refusals}
        for node in self.graph.of(owner):
            self.halt()
            refusal = refusals.get(node.key)
            if refusal is not None:
                self.verdicts[node.key] = Failed("Refused", f"{refusal.message}; {refusal.hint}")
            else:
                self.verdicts[node.key] = self._visit(node, steps.get(node.key))

    def sweep(self, owner: Key, *, later: bool = False) -> None:
        """Delete what one spec no longer wants, once nothing needs it; `later`: not in this pass."""
        for step in self.plan.of(owner).steps:
            if step.action is Action.DELETE and not step.held:
                self.halt()
                unused = Waiting("Superseded", f"{step.node.key} goes once nothing needs it", failing=True)
                waiting = unused if later else self._delete(step)
                if waiting is not None:
                    self.deleting.setdefault(owner, []).append(waiting)

    def _visit(self, node: Node, step: Step | None) -> Verdict:
        if node.key in self.unreadable:
            return verdict_of(self.unreadable[node.key])
        kind = self.executor.registry[node.key.kind]
        resolved = node.resolved(self._lookup)
        blocker = self._blocker(node.edges)
        if kind.read_only:
            # Looked up by what isn't there yet, it would still tell of what was there before.
            stop = self._blocker(node.parents) or self._look(node, resolved)
            if stop is not None:
                return stop
        if step is not None:
            absent = node.key not in self._surveyed and self._asked(node) == resolved.identity
            stop = blocker or self._stays(step, resolved) or self._perform(step, resolved, absent=absent)
            if stop is not None:
                return stop
        seen = self.seen.get(node.key)
        if seen is None:
            return blocker or Failed("NotFound", f"{node.key} is not there")
        mine = not kind.read_only and not node.lent
        if step is None and mine and is_known(resolved.desired) and node.key not in self._later:
            owner = self.graph.owners[node.key]
            known = record_of(self.records, resolved)
            self.executor.remember(resolved, owner, seen, retain=self._outlives(node.key, owner, seen), known=known)
        return kind.ready(resolved, seen)

    def _look(self, node: Node, resolved: Node) -> Verdict | None:
        """Look again at a read-only node when what it is found by came into being or changed in this pass.

        Gives why it can't be read: that concerns what is built on it, and nothing else.
        """
        if not is_known(resolved.identity) or resolved.edges.isdisjoint(self.fresh):
            return None
        if node.key in self._surveyed and self._asked(node) == resolved.identity:
            # The plan was made of what it gave then. Another value now would meet old ones in one object.
            return None
        target = Target(resolved.key, resolved.identity)
        try:
            found = self.executor.registry[resolved.key.kind].observe(self.executor.aws, [target])
        except (CredentialsError, LeaseHeldError):
            raise
        except MoorageError as error:
            return verdict_of(error)
        self.seen |= found
        self.fresh |= found.keys()
        return None

    def _asked(self, node: Node) -> Mapping[str, Value]:
        """What the survey looked for."""
        found: Mapping[str, Value] = resolve(node.identity, lambda ref: output_of(self._surveyed, ref, UNKNOWN))
        return found

    def _stays(self, step: Step, resolved: Node) -> Verdict | None:
        """Why a step is not done though it could be: the spec's policy."""
        leave = self.leaves[step.owner]
        if leave.held:
            return Held(leave.held, leave.why)
        return None if leave.correct else self._left(replace(step, node=resolved))

    def _left(self, step: Step) -> Verdict | None:
        """The verdict on a node that only others changed, and that is left so; None where the spec asks for the step."""
        record, seen = record_of(self.records, step.node), self.seen.get(step.node.key)
        kind = self.executor.registry[step.node.key.kind]
        if record is None or not (record.expected or seen) or not is_known(step.node.desired):
            return None
        if diff(record.managed, record.fields, step.node.desired, kind.policy):
            return None
        self.left[step.node.key] = record.outputs
        if seen is None:
            verdict: Verdict = Held("Drifted", f"{step.node.key} is gone from AWS, and left so: {_NOT_CORRECTED}")
        else:
            changes = diff(record.managed, seen.fields, step.node.desired, kind.policy)
            if not changes:
                return kind.ready(step.node, seen)
            judged = kind.ready(step.node, seen)
            if isinstance(judged, Failed):
                return judged
            found = differences(replace(step, changes=changes), self.records, seen, kind.policy)
            line = f"{step.node.key} was changed by somebody else, and left so: {told(found)}"
            verdict = Ready("Drifted", line)
        self.tell(step, "Warning", verdict.reason, verdict.message)
        return verdict

    def _perform(self, step: Step, resolved: Node, *, absent: bool) -> Verdict | None:
        if not (is_known(resolved.identity) and is_known(resolved.desired)):
            return Waiting("Unresolved", "a value it needs is not known yet", 1)
        current = Step(step.action, resolved, step.owner, step.changes, step.why)
        drift = self._drift_of(current)
        try:
            retain = self._outlives(step.node.key, step.owner)
            self.seen[step.node.key] = self.executor.perform(current, retain=retain, absent=absent)
        except LeaseHeldError:
            raise
        except MoorageError as error:
            self.tell(step, "Warning", reason_of(error), str(error))
            return verdict_of(error)
        self._count(current)
        self.fresh.add(step.node.key)
        if drift:
            self.tell(step, "Warning", "Drifted", drift)
        self.tell(step, "Normal", step.action.past, summary(step))
        return None

    def _drift_of(self, step: Step) -> str:
        """What of a step puts back what somebody else did, in one line."""
        seen, policy = self.seen.get(step.node.key), self.executor.registry[step.node.key.kind].policy
        found = differences(step, self.records, seen, policy)
        if seen is None:
            return GONE if any(difference.origin is Origin.DRIFT for difference in found) else ""
        line = told(found)
        return f"changed by somebody else: {line}" if line else ""

    def _delete(self, step: Step) -> Verdict | None:
        """Once all that its spec wants is there, what it no longer wants may go; a removed spec's things go at once.

        History isn't waited for: what the spec itself waits for says when to look again.
        """
        if step.history and not self._at_rest(step.owner):
            return None
        if self._still_needed(step):
            return Waiting("Superseded", f"{step.node.key} goes once nothing needs it")
        try:
            waiting = self.executor.remove(step)
        except LeaseHeldError:
            raise
        except MoorageError as error:
            self.tell(step, "Warning", reason_of(error), str(error))
            return verdict_of(error)
        if waiting is None:
            self._count(step)
            self.tell(step, "Normal", "Stopped" if self._stops(step) else "Deleted", step.why)
        return waiting

    def _stops(self, step: Step) -> bool:
        """Whether it only ends what may still run, which nothing has to be ready for."""
        return self.executor.registry[step.node.key.kind].superseded == "stop" and not step.history

    def _at_rest(self, owner: Key) -> bool:
        """Whether all of a spec was ready before this pass did anything: only then it is known what serves."""
        moved = any(step.action is not Action.DELETE for step in self.done_of.get(owner, ()))
        moves = any(step.later for step in self.plan.of(owner).steps)
        return self._all_ready(owner) and not moved and not moves

    def _all_ready(self, owner: Key) -> bool:
        return all(isinstance(self.verdicts[node.key], Ready) for node in self.graph.of(owner))

    def _still_needed(self, step: Step) -> bool:
        if self._stops(step):
            return False
        # What belongs to a ModelService is built on by nothing of another.
        plan = self.plan if step.owner.kind == "Environment" else self.plan.of(step.owner)
        leaving = [other.node for other in plan.steps if other.action is Action.DELETE]
        left = (
            self.executor.store.record(digest(node.key, node.identity)) for node in leaving if node.key != step.node.key
        )
        built_on = any(record is not None and step.node.key in record.edges for record in left)
        return built_on or not self._all_ready(step.owner)

    def _blocker(self, edges: Iterable[Key]) -> Verdict | None:
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

    def _count(self, step: Step) -> None:
        self.done.append(step)
        self.done_of.setdefault(step.owner, []).append(step)

    def _lookup(self, ref: Ref) -> Value:
        """What a Ref stands for; what drifted and is left so still gives what it was applied as."""
        if ref.key in self.left:
            return self.left[ref.key].get(ref.output, UNKNOWN)
        return output_of(self.seen, ref, UNKNOWN)

    def _outlives(self, key: Key, owner: Key, seen: Observed | None = None) -> bool:
        """Whether it outlives its spec. What still runs is nothing to be kept yet: it has to be stopped."""
        kind = self.executor.registry[key.kind]
        runs = kind.superseded == "stop" and not (seen and seen.outputs.get("finished") is True)
        return ("" if runs else kind.retain) in self.leaves[owner].retained

    def undeletable(self, owner: Key) -> list[Verdict]:
        """Why something that one spec no longer wants could not be deleted, where waiting doesn't help."""
        return [verdict for verdict in self.deleting.get(owner, ()) if not isinstance(verdict, Waiting)]

    def waits(self, owner: Key) -> list[Waiting]:
        """What one spec waits for; what AWS doesn't show yet is as good as done, and still to be looked at."""
        keys = [node.key for node in self.graph.of(owner)]
        hidden = (
            Waiting("Unshown", f"AWS doesn't show yet what {key} became", 2.0) for key in keys if self._hidden(key)
        )
        verdicts = (*(self.verdicts[key] for key in keys), *hidden, *self.deleting.get(owner, ()))
        return [verdict for verdict in verdicts if isinstance(verdict, Waiting)]

    def _hidden(self, key: Key) -> bool:
        return self.executor.recent.hidden(key)


def verdict_of(error: MoorageError) -> Verdict:
    """What an error means for its node: waiting where waiting helps."""
    if error.remedy in (Remedy.SOON, Remedy.DEPENDENCY):
        return Waiting(reason_of(error), str(error), getattr(error, "retry_after", None) or 2.0, failing=True)
    return (Held if error.exit_code == 5 else Failed)(reason_of(error), str(error))


def reason_of(error: MoorageError) -> str:
    """An error's class as a condition's reason: `AnswerLost`, `Denied`."""
    return type(error).__name__.removesuffix("Error")


def summary(step: Step) -> str:
    """A step in one line: what it means, or what it changes; a new object is told by its name alone."""
    if step.action in (Action.CREATE, Action.REPLACE):
        return step.why
    paths = [change.path for change in step.changes]
    more = f" and {len(paths) - 4} more" if len(paths) > 4 else ""
    return step.why or ", ".join(paths[:4]) + more
