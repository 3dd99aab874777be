"""The story: specs become a graph, the graph is looked up in AWS, the difference becomes a plan, the plan is carried out.

    specs ──expand──▶ graph ──observe, in waves──▶ what is there ──plan──▶ steps ──execute──▶ AWS
                                                                             └──▶ status, events ──▶ store

`survey` is the first half and only reads; `reconcile` is both. Level-triggered: a pass knows nothing of the one
before, and plans anew. It never sleeps: what takes time is started and looked at again in a later pass, and the
pass says after how many seconds.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field

from controller.aws import Aws
from controller.core.graph import Graph, Node, Observed, Target, output_of
from controller.core.plan import Action, Plan, Situation, Step, make_plan
from controller.core.record import Record
from controller.core.status import Event, Failed, Held, Ready, ResourceState, Status, Verdict, Waiting, judge
from controller.core.values import UNKNOWN, Key, Ref, Value, digest, is_known, resolve
from controller.core.wanted import Wanted
from controller.errors import CredentialsError, MoorageError, Remedy
from controller.executor import Executor
from controller.resources.base import Registry
from controller.store.base import Store


@dataclass(frozen=True)
class Survey:
    """The first half of a pass: what is wanted, what is there, and the plan between. `unreadable` nodes are left alone."""

    wants: Sequence[Wanted]
    graph: Graph
    seen: dict[Key, Observed]
    records: Collection[Record]
    plan: Plan
    unreadable: Mapping[Key, MoorageError] = field(default_factory=dict)


@dataclass(frozen=True)
class Pass:
    """What a pass came to. `after` is when to look again, in seconds; None when nothing is under way."""

    statuses: tuple[Status, ...]
    done: tuple[Step, ...]
    plan: Plan
    after: float | None


@dataclass(frozen=True)
class Reconciler:
    """Keeps one environment as its specs say. `now` gives the time as RFC 3339 text; `tell` is called with each event as it happens."""

    registry: Registry
    aws: Aws
    store: Store
    now: Callable[[], str]
    tell: Callable[[Event], None] = lambda _: None

    def survey(self, wants: Sequence[Wanted], *, gone: Collection[Key] = ()) -> Survey:
        """Look, and plan. Reads only.

        `wants` holds the Environment and its ModelServices; `gone` the removed specs that are to be pruned.
        """
        graph = Graph.build(
            (want.owner, [node for resource in self.registry.values() for node in resource.expand(want)])
            for want in wants
        )
        records = self.store.records(wants[0].environment.metadata.name)
        seen, unreadable = self._observe(graph, records)
        adopters = ()
        plan = make_plan(Situation(graph, self.registry, seen, records, adopters, gone))
        return Survey(wants, graph, seen, records, plan, unreadable)

    def reconcile(self, wants: Sequence[Wanted], *, gone: Collection[Key] = ()) -> Pass:
        """One pass: survey, then carry out what can be done now."""
        survey = self.survey(wants, gone=gone)
        work = _Work(self, survey)
        work.run()
        return Pass(work.statuses(), tuple(work.done), survey.plan, work.after())

    def _observe(
        self, graph: Graph, records: Collection[Record]
    ) -> tuple[dict[Key, Observed], dict[Key, MoorageError]]:
        seen: dict[Key, Observed] = {}
        unreadable: dict[Key, MoorageError] = {}
        known = {record.id: record.outputs for record in records}
        for wave in graph.waves():
            for kind, targets in _targets(wave, seen, known).items():
                try:
                    seen |= self.registry[kind].observe(self.aws, targets)
                except CredentialsError:
                    raise
                except MoorageError as error:
                    unreadable |= {target.key: error for target in targets}
        return seen, unreadable


def _targets(
    wave: Sequence[Node], seen: Mapping[Key, Observed], known: Mapping[str, Mapping[str, Value]]
) -> dict[str, list[Target]]:
    """Where to look for a wave's nodes, by kind. A node under an absent parent is absent: it is not looked for."""
    targets: dict[str, list[Target]] = {}
    for node in wave:
        identity = resolve(node.identity, lambda ref: output_of(seen, ref, UNKNOWN))
        if is_known(identity):
            outputs = known.get(digest(node.key, identity), {})
            targets.setdefault(node.key.kind, []).append(Target(node.key, identity, outputs))
    return targets


class _Work:
    """The second half of a pass: the plan's steps are carried out, and each node gets its verdict."""

    def __init__(self, reconciler: Reconciler, survey: Survey) -> None:
        self.to, self.survey = reconciler, survey
        self.executor = Executor(reconciler.registry, reconciler.aws, reconciler.store)
        self.seen = dict(survey.seen)
        self.verdicts: dict[Key, Verdict] = {}
        self.deleting: list[Verdict] = []
        self.done: list[Step] = []
        self._retain = {want.owner: _retained(want) for want in survey.wants}

    def run(self) -> None:
        """Every node in order, parents first, then the deletions."""
        steps = {
            step.node.key: step
            for step in self.survey.plan.steps
            if not step.later and step.action is not Action.DELETE
        }
        refusals = {refusal.node.key: refusal for refusal in self.survey.plan.refusals}
        for node in self.survey.graph.order():
            if node.key in refusals:
                verdict: Verdict = Failed("Refused", f"{refusals[node.key].message}; {refusals[node.key].hint}")
            else:
                verdict = self._visit(node, steps.get(node.key))
            self.verdicts[node.key] = verdict
        for step in self.survey.plan.steps:
            if step.action is Action.DELETE:
                self._delete(step)

    def _visit(self, node: Node, step: Step | None) -> Verdict:
        if node.key in self.survey.unreadable:
            return _verdict_of(self.survey.unreadable[node.key])
        blocker = self._blocker(node)
        if step is not None and blocker is not None:
            return blocker
        resolved = node.resolved(self._lookup)
        if step is not None:
            failure = self._perform(step, resolved)
            if failure is not None:
                return failure
        seen = self.seen.get(node.key)
        if seen is None:
            return blocker or Failed("NotFound", f"{node.key} is not there")
        if step is None and not self.to.registry[node.key.kind].read_only and is_known(resolved.desired):
            self.executor.remember(resolved, self._owner(node.key), seen, retain=self._outlives(node.key))
        return self.to.registry[node.key.kind].ready(resolved, seen)

    def _perform(self, step: Step, resolved: Node) -> Verdict | None:
        if not (is_known(resolved.identity) and is_known(resolved.desired)):
            return Waiting("Unresolved", "a value it needs is not known yet", 1)
        current = Step(step.action, resolved, step.owner, step.changes, step.why)
        try:
            self.seen[step.node.key] = self.executor.perform(current, retain=self._outlives(step.node.key))
        except MoorageError as error:
            self._event(step, "Warning", type(error).__name__.removesuffix("Error"), str(error))
            return _verdict_of(error)
        self.done.append(current)
        self._event(step, "Normal", f"{step.action.value.capitalize()}d", _summary(step))
        return None

    def _delete(self, step: Step) -> None:
        """Once all that its spec wants is there, what it no longer wants may go; a removed spec's things go at once."""
        wanted = [self.verdicts[key] for key, owner in self.survey.graph.owners.items() if owner == step.owner]
        needed = any(step.node.key in record.edges for record in self._leftovers(step))
        at_once = self.to.registry[step.node.key.kind].superseded == "stop"
        if not at_once and (needed or not all(isinstance(verdict, Ready) for verdict in wanted)):
            self.deleting.append(Waiting("Superseded", f"{step.node.key} goes once nothing needs it"))
            return
        try:
            waiting = self.executor.remove(step)
        except MoorageError as error:
            self._event(step, "Warning", type(error).__name__.removesuffix("Error"), str(error))
            self.deleting.append(_verdict_of(error))
            return
        if waiting is not None:
            self.deleting.append(waiting)
            return
        self.done.append(step)
        self._event(step, "Normal", "Deleted", step.why)

    def _leftovers(self, step: Step) -> list[Record]:
        """The records of things that are to be deleted, and still are there."""
        leaving = {
            digest(other.node.key, other.node.identity)
            for other in self.survey.plan.steps
            if other.action is Action.DELETE
        }
        return [
            record
            for record in self.to.store.records(step.owner.environment)
            if record.id in leaving and record.key != step.node.key
        ]

    def _blocker(self, node: Node) -> Verdict | None:
        """Why a node has to wait for another: the first of its edges that can't be built upon yet."""
        for edge in sorted(node.edges):
            verdict = self.verdicts[edge]
            if not isinstance(verdict, Ready):
                message = f"waits for {edge}: {verdict.message or verdict.reason}"
                return (
                    Waiting("Blocked", message, verdict.after)
                    if isinstance(verdict, Waiting)
                    else type(verdict)(verdict.reason, message)
                )
        return None

    def _lookup(self, ref: Ref) -> Value:
        return output_of(self.seen, ref, UNKNOWN)

    def _owner(self, key: Key) -> Key:
        return self.survey.graph.owners[key]

    def _outlives(self, key: Key) -> bool:
        return self.to.registry[key.kind].retain in self._retain[self._owner(key)]

    def _event(self, step: Step, kind: str, reason: str, message: str) -> None:
        event = Event(
            self.to.now(), step.owner, "Warning" if kind == "Warning" else "Normal", reason, message, step.node.key
        )
        self.to.store.emit(event)
        self.to.tell(event)

    def statuses(self) -> tuple[Status, ...]:
        """Each spec's status, saved when it changed."""
        return tuple(self._status(want) for want in self.survey.wants)

    def _status(self, want: Wanted) -> Status:
        before = self.to.store.status(want.owner)
        spec = (want.service or want.environment).model_dump(mode="json", by_alias=True)
        spec_digest = digest(spec, want.inputs.data_digest)
        generation = 1 if before is None else before.observed_generation + (before.spec_digest != spec_digest)
        nodes = [key for key, owner in self.survey.graph.owners.items() if owner == want.owner]
        aspects: dict[str, list[Verdict]] = {}
        for node in self.survey.graph.order():
            if node.key in nodes:
                aspects.setdefault(self.to.registry[node.key.kind].condition, []).append(self.verdicts[node.key])
        conditions = judge(aspects, before, self.to.now(), generation)
        facts: dict[str, Value] = {"commit": want.inputs.commit} if want.inputs.commit else {}
        for key in nodes:
            facts |= self.to.registry[key.kind].facts(self.seen[key]) if key in self.seen else {}
        states = tuple(self._state(key) for key in sorted(nodes))
        status = Status(want.owner, generation, spec_digest, conditions, facts, states)
        if status != before:
            self.to.store.save(status)
        return status

    def _state(self, key: Key) -> ResourceState:
        verdict = self.verdicts[key]
        outputs = self.seen[key].outputs if key in self.seen else {}
        found = next((str(outputs[name]) for name in ("arn", "id", "name", "url") if name in outputs), "")
        return ResourceState(key, found, verdict.reason if not isinstance(verdict, Ready) else "Ready", verdict.message)

    def after(self) -> float | None:
        """When to look again: at once after a step that worked, else when the first thing waited for may be there."""
        waits = [verdict.after for verdict in (*self.verdicts.values(), *self.deleting) if isinstance(verdict, Waiting)]
        if self.done:
            return 0.0
        return min(waits, default=None)


def _verdict_of(error: MoorageError) -> Verdict:
    reason = type(error).__name__.removesuffix("Error")
    if error.remedy in (Remedy.SOON, Remedy.DEPENDENCY):
        return Waiting(reason, str(error), getattr(error, "retry_after", None) or 2.0)
    return Held(reason, str(error)) if error.exit_code == 5 else Failed(reason, str(error))


def _retained(want: Wanted) -> frozenset[str]:
    if want.service is None:
        return frozenset()
    return frozenset(
        name for name, choice in want.service.spec.policy.deletion.model_dump().items() if choice == "Retain"
    )


def _summary(step: Step) -> str:
    paths = [change.path for change in step.changes]
    return step.why or (", ".join(paths[:4]) + (f" and {len(paths) - 4} more" if len(paths) > 4 else ""))
