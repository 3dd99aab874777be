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
from typing import Literal

from controller.aws import Aws
from controller.core.graph import Graph, Node, Observed, Target, output_of
from controller.core.plan import Plan, Situation, Step, make_plan
from controller.core.record import Record
from controller.core.status import Condition, Event, Ready, ResourceState, Status, Verdict, Waiting, judge
from controller.core.values import UNKNOWN, Key, Value, digest, is_known, resolve
from controller.core.wanted import Wanted
from controller.errors import CredentialsError, LeaseHeldError, MoorageError
from controller.execution import Execution, Leave
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
        self.store.refresh()
        records = self.store.records(wants[0].environment.name)
        seen, unreadable = self._observe(graph, records)
        # A node that can't be read is neither there nor absent: no plan is made for it, nor for what is built on it.
        plan = make_plan(Situation(graph, self.registry, seen, records, (), gone, unreadable.keys()))
        return Survey(wants, graph, seen, records, plan, unreadable)

    def reconcile(self, wants: Sequence[Wanted], *, gone: Collection[Key] = ()) -> Pass:
        """One pass: survey, then carry out what can be done now."""
        survey = self.survey(wants, gone=gone)
        executor = Executor(self.registry, self.aws, self.store)
        leaves = {owner: Leave() for owner in gone} | {want.owner: _leave(want) for want in wants}
        work = Execution(
            executor,
            survey.graph,
            survey.plan,
            dict(survey.seen),
            survey.records,
            survey.unreadable,
            leaves,
            self._event,
        )
        work.run()
        self._release(gone)
        return Pass(tuple(self._status(want, work) for want in wants), tuple(work.done), survey.plan, work.after())

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
                except (CredentialsError, LeaseHeldError):
                    raise
                except MoorageError as error:
                    unreadable |= {target.key: error for target in targets}
        return seen, unreadable

    def _release(self, gone: Collection[Key]) -> None:
        """What a removed spec retains is nobody's business any more; once nothing else is left, its status goes too."""
        for owner in gone:
            mine = [record for record in self.store.records(owner.environment) if record.owner == owner]
            if all(record.retain for record in mine):
                for record in mine:
                    self.store.drop(record)
                    self._tell(
                        Event(self.now(), owner, "Normal", "Retained", "stays, as policy.deletion says", record.key)
                    )
                self.store.forget(owner)

    def _status(self, want: Wanted, work: Execution) -> Status:
        before = self.store.status(want.owner)
        spec = (want.service or want.environment).model_dump(mode="json", by_alias=True)
        spec_digest = digest(spec, want.inputs.data_digest)
        generation = 1 if before is None else before.observed_generation + (before.spec_digest != spec_digest)
        mine = [node.key for node in work.graph.order() if work.graph.owners[node.key] == want.owner]
        aspects: dict[str, list[Verdict]] = {}
        facts: dict[str, Value] = {"commit": want.inputs.commit} if want.inputs.commit else {}
        for key in mine:
            aspects.setdefault(self.registry[key.kind].condition, []).append(work.verdicts[key])
            facts |= self.registry[key.kind].facts(work.seen[key]) if key in work.seen else {}
        if any(step.later for step in work.plan.of(want.owner).steps):
            aspects.setdefault("", []).append(Waiting("Later", "what follows from the candidate is still to come", 1))
        conditions = judge(aspects, before, self.now(), generation)
        states = tuple(_state(key, work) for key in sorted(mine))
        status = Status(want.owner, generation, spec_digest, conditions, facts, states)
        if status != before:
            self.store.save(status)
            self._transitions(before, status)
        return status

    def _transitions(self, before: Status | None, status: Status) -> None:
        """An event for each condition that turned. What only repeats another one's news is left out."""
        for condition in status.conditions:
            earlier = before.condition(condition.type) if before else None
            if _is_news(condition, earlier):
                worse = condition.type == "Degraded" and condition.status == "True"
                message = f"{condition.type} is {condition.status}" + (
                    f": {condition.message}" if condition.message else ""
                )
                self._tell(Event(self.now(), status.owner, "Warning" if worse else "Normal", condition.reason, message))

    def _event(self, step: Step, kind: Literal["Normal", "Warning"], reason: str, message: str) -> None:
        self._tell(Event(self.now(), step.owner, kind, reason, message, step.node.key))

    def _tell(self, event: Event) -> None:
        self.store.emit(event)
        self.tell(event)


def _is_news(condition: Condition, earlier: Condition | None) -> bool:
    """Whether a condition says what nobody has said: Progressing and Stalled repeat Ready and Degraded, a blocked one its blocker."""
    if condition.type in ("Progressing", "Stalled") or condition.reason == "Blocked":
        return False
    if earlier is None:
        return condition.type != "Degraded" or condition.status == "True"
    if condition.type in ("Ready", "Degraded"):
        return earlier.status != condition.status
    return (earlier.status, earlier.reason) != (condition.status, condition.reason)


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


def _leave(want: Wanted) -> Leave:
    if want.service is None:
        return Leave()
    policy = want.service.spec.policy
    choices = policy.deletion.model_dump()
    retained = frozenset(name for name, choice in choices.items() if choice == "Retain" or not policy.prune)
    return Leave(retained if policy.prune else retained | {""}, policy.suspend, policy.drift_correction)


def _state(key: Key, work: Execution) -> ResourceState:
    verdict = work.verdicts[key]
    outputs = work.seen[key].outputs if key in work.seen else {}
    found = next((str(outputs[name]) for name in ("arn", "id", "name", "url") if name in outputs), "")
    fine = isinstance(verdict, Ready) and verdict.reason != "Drifted"
    return ResourceState(key, found, "Ready" if fine else verdict.reason, verdict.message)
