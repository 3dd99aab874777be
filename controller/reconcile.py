"""The story: specs become a graph, the graph is looked up in AWS, the difference becomes a plan, the plan is carried out.

    specs ──expand──▶ graph ──observe, in waves──▶ what is there ──plan──▶ steps ──execute──▶ AWS
                                                                             └──▶ status, events ──▶ store

`survey` is the first half and only reads; `reconcile` is both. The second half goes spec by spec: `begin` makes what an
environment shares, `finish` each spec, several at once where there are threads for it. Level-triggered: a pass knows
nothing of the one before, and plans anew. It never sleeps: what takes time is started and looked at again in a later
pass, and the pass says after how many seconds.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

from controller.aws import Aws
from controller.chronicle import Chronicle
from controller.core.graph import Graph, Node, Observed, Target, output_of
from controller.core.plan import Leave, Plan, Situation, Step
from controller.core.planner import make_plan
from controller.core.reach import Closure, closure
from controller.core.recent import Recent
from controller.core.record import Record, Records
from controller.core.status import Event, Status, revision_of
from controller.core.values import UNKNOWN, Key, digest, is_known, resolve
from controller.core.wanted import Wanted
from controller.cost.estimate import Estimate, estimate
from controller.cost.prices import published
from controller.errors import CredentialsError, LeaseHeldError, MoorageError, Remedy
from controller.execution import Execution
from controller.executor import Executor
from controller.resources.base import Registry
from controller.spec.models import Policy
from controller.store.base import Store


@dataclass(frozen=True)
class Survey:
    """The first half of a pass: what is wanted, what is there, and the plan between. `unreadable` nodes are left alone.

    `wants` begins with the Environment; `gone` are the removed specs that are to be pruned; `costs` are each
    ModelService's.
    """

    wants: Sequence[Wanted]
    gone: Collection[Key]
    graph: Graph
    seen: dict[Key, Observed]
    records: Records
    plan: Plan
    unreadable: Mapping[Key, MoorageError] = field(default_factory=dict)
    costs: Mapping[Key, Estimate] = field(default_factory=dict)

    @cached_property
    def by_owner(self) -> Mapping[Key, Wanted]:
        """What each spec wants."""
        return {want.owner: want for want in self.wants}


@dataclass(frozen=True)
class Pass:
    """What a pass came to, for one spec or several.

    `after` is when to look again, in seconds; None when nothing is under way. `failing`: all that is waited for is that
    errors pass. `released` are the removed specs of which nothing is left; `waits` says what is waited for.
    """

    statuses: tuple[Status, ...]
    done: tuple[Step, ...]
    plan: Plan
    after: float | None
    failing: bool = False
    released: tuple[Key, ...] = ()
    waits: tuple[str, ...] = ()


@dataclass(frozen=True)
class Reconciler:
    """Keeps one environment as its specs say.

    `now` gives the time as RFC 3339 text; `tell` is called with each event as it happens; `halt` before anything new is
    begun, and raises when it mustn't be. `recent` outlives a pass: what was written, and AWS may not show yet.
    """

    registry: Registry
    aws: Aws
    store: Store
    now: Callable[[], str]
    tell: Callable[[Event], None] = lambda _: None
    halt: Callable[[], None] = lambda: None
    recent: Recent = field(default_factory=Recent)

    @cached_property
    def _chronicle(self) -> Chronicle:
        return Chronicle(self.registry, self.store, self.now, self.tell)

    def survey(self, wants: Sequence[Wanted], *, gone: Collection[Key] = (), view: Aws | None = None) -> Survey:
        """Look, and plan. Reads only.

        `wants` holds the Environment and its ModelServices; `gone` the removed specs that are to be pruned; `view` is a
        door that shares its listings with earlier surveys, where they are new enough.
        """
        graph = Graph.build(
            (want.owner, [node for resource in self.registry.values() for node in resource.expand(want)])
            for want in wants
        )
        self.store.refresh()
        owners = {*(want.owner for want in wants), *gone}
        records = Records(self.store.records(wants[0].environment.name, owners))
        seen, unreadable = self._observe(view or self.aws.surveying(), graph, records)
        # A node that can't be read is neither there nor absent: no plan is made for it, nor for what is built on it.
        adopters = {want.owner for want in wants if (want.service or want.environment).spec.policy.adopt}
        models = [(want, want.trained.spec.policy) for want in wants if want.trained]
        costs = {want.owner: _cost(want, policy, records) for want, policy in models}
        leaves, blind = _leaves(wants, gone, costs), unreadable.keys()
        closures = self._closures(wants, graph, seen, records, blind)
        plan = make_plan(Situation(graph, self.registry, seen, records, adopters, gone, blind, leaves, closures))
        return Survey(wants, gone, graph, seen, records, plan, unreadable, costs)

    def reconcile(self, wants: Sequence[Wanted], *, gone: Collection[Key] = ()) -> Pass:
        """One pass: survey, then carry out what can be done now."""
        survey = self.survey(wants, gone=gone)
        work = self.begin(survey)
        home, *services = (want.owner for want in wants)
        parts = [self.finish(survey, work, owner) for owner in (*services, *gone)]
        parts.insert(0, self.finish(survey, work, home))
        waiting = [part for part in parts if part.after is not None]
        return Pass(
            tuple(status for part in parts for status in part.statuses),
            tuple(work.done),
            survey.plan,
            min((part.after for part in waiting if part.after is not None), default=None),
            bool(waiting) and all(part.failing for part in waiting),
            tuple(owner for part in parts for owner in part.released),
            tuple(wait for part in parts for wait in part.waits),
        )

    def begin(self, survey: Survey) -> Execution:
        """Start carrying out a plan: make what the environment shares, which everything else is built on."""
        work = Execution(
            Executor(self.registry, self.aws, self.store, self.recent),
            survey.graph,
            survey.plan,
            dict(survey.seen),
            survey.records,
            survey.unreadable,
            _leaves(survey.wants, survey.gone, survey.costs),
            self._chronicle.event,
            self.halt,
        )
        work.run(survey.wants[0].owner)
        return work

    def finish(self, survey: Survey, work: Execution, owner: Key, *, sweep: bool = True, trouble: str = "") -> Pass:
        """Carry out one spec's part, and say how it stands.

        The Environment's part was made already: `sweep` then says whether what it shares no longer may go, which others
        may still be built on. `trouble` says why something newer than these specs can't be read.
        """
        want = survey.by_owner.get(owner)
        if want is None and owner not in survey.gone:
            raise ValueError(f"{owner} is neither wanted nor gone")
        if want is not survey.wants[0]:
            work.run(owner)
        work.sweep(owner, later=not sweep)
        released = want is None and self._chronicle.release(owner)
        statuses = (self._chronicle.status(want, work, trouble),) if want else self._chronicle.remains(owner, work)
        waits = work.waits(owner)
        done = tuple(work.done_of.get(owner, ()))
        after = 0.0 if done else min((waiting.after for waiting in waits), default=None)
        failing = bool(waits) and all(waiting.failing for waiting in waits)
        told = tuple(dict.fromkeys(waiting.message or waiting.reason for waiting in waits))
        return Pass(statuses, done, survey.plan.of(owner), after, failing, (owner,) if released else (), told)

    def _observe(
        self, aws: Aws, graph: Graph, records: Collection[Record]
    ) -> tuple[dict[Key, Observed], dict[Key, MoorageError]]:
        seen: dict[Key, Observed] = {}
        unreadable: dict[Key, MoorageError] = {}
        known = {record.id: record for record in records}
        for wave in graph.waves():
            for kind, targets in _targets(wave, seen, known).items():
                self.halt()
                found, failed = self._look(aws, kind, targets, graph.owners)
                seen |= self.recent.all_told((t.key for t in targets if t.key not in failed), found)
                unreadable |= failed
        return seen, unreadable

    def _look(
        self, aws: Aws, kind: str, targets: Sequence[Target], owners: Mapping[Key, Key]
    ) -> tuple[dict[Key, Observed], dict[Key, MoorageError]]:
        """Look at all targets of a kind at once. Where that fails, spec by spec: one that can't be read hides no other."""
        try:
            return self.registry[kind].observe(aws, targets), {}
        except (CredentialsError, LeaseHeldError):
            raise
        except MoorageError as error:
            groups: dict[Key, list[Target]] = {}
            for target in targets:
                groups.setdefault(owners[target.key], []).append(target)
            # What passes by itself would only be asked more often.
            if len(groups) == 1 or error.remedy is Remedy.SOON:
                return {}, {target.key: error for target in targets}
        parts = [self._look(aws, kind, group, owners) for group in groups.values()]
        return {k: v for found, _ in parts for k, v in found.items()}, {
            k: v for _, bad in parts for k, v in bad.items()
        }

    def _closures(
        self,
        wants: Sequence[Wanted],
        graph: Graph,
        seen: Mapping[Key, Observed],
        records: Records,
        unreadable: Collection[Key],
    ) -> dict[Key, Closure]:
        """What is kept of its history by each ModelService that has one, once what is there now is ready."""
        blind = {graph.owners[key] for key in unreadable}
        past = {record.owner for record in records if len(records.of(record.key)) > 1} - blind
        found: dict[Key, Closure] = {}
        for want in wants:
            before = self.store.status(want.owner) if want.owner in past else None
            if want.service is None or before is None:
                continue
            policy = want.service.spec.policy
            retained = {name for name, choice in policy.deletion.model_dump().items() if choice == "Retain"}
            now = revision_of(self._chronicle.facts(want, before, graph, seen), "")
            # What serves is no history: that it outlives its spec keeps none of it.
            kept = closure(before.history, now, policy.history, retained - {"service"})
            if kept is not None:
                found[want.owner] = kept
        return found


def _targets(
    wave: Sequence[Node], seen: Mapping[Key, Observed], known: Mapping[str, Record]
) -> dict[str, list[Target]]:
    """Where to look for a wave's nodes, by kind. A node under an absent parent is absent: it is not looked for."""
    targets: dict[str, list[Target]] = {}
    for node in wave:
        identity = resolve(node.identity, lambda ref: output_of(seen, ref, UNKNOWN))
        if is_known(identity):
            record = known.get(digest(node.key, identity))
            hints = (record.outputs, record.settled) if record is not None else ()
            targets.setdefault(node.key.kind, []).append(Target(node.key, identity, *hints))
    return targets


def _leaves(wants: Sequence[Wanted], gone: Collection[Key], costs: Mapping[Key, Estimate]) -> dict[Key, Leave]:
    return {owner: Leave() for owner in gone} | {want.owner: _leave(want, costs.get(want.owner)) for want in wants}


def _leave(want: Wanted, cost: Estimate | None) -> Leave:
    if want.service is None:
        return Leave(frozenset({"artifacts"}))  # its bucket holds what its models retain
    policy = want.service.spec.policy
    choices = policy.deletion.model_dump()
    retained = frozenset(name for name, choice in choices.items() if choice == "Retain" or not policy.prune)
    leave = Leave(retained if policy.prune else retained | {""}, correct=policy.drift_correction)
    if policy.suspend:
        return replace(leave, held="Suspended", why="policy.suspend leaves everything as it is")
    return replace(leave, held="OverBudget", why=cost.over) if cost is not None and cost.over else leave


def _cost(want: Wanted, policy: Policy, records: Records) -> Estimate:
    """What a spec costs; its last training, where one is remembered, tells how long the next one takes."""
    jobs = records.of(want.own("sagemaker/training-job"))
    billed = [record.outputs["billed"] for record in jobs if record.outputs.get("billed")]
    return estimate(
        want,
        published(),
        policy.expected_requests,
        limit=policy.max_monthly_cost,
        trained_in=billed[-1] if billed else None,
    )
