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

from controller.aws import AwsClient
from controller.core.graph import Graph, Node, Observed, Target, get_output
from controller.core.mutation_cache import MutationCache
from controller.core.plan import EffectivePolicy, Plan, PlanningInput, Step
from controller.core.planner import make_plan
from controller.core.reachability import RetainedHistory, retain_history
from controller.core.record import Record, RecordIndex
from controller.core.spec_context import SpecContext
from controller.core.status import Event, Status, build_revision
from controller.core.values import UNKNOWN, Key, digest, is_known, resolve
from controller.cost.estimate import CostEstimate, estimate_cost
from controller.cost.prices import load_price_table
from controller.errors import CredentialsError, LeaseHeldError, MoorageError, Remedy
from controller.plan_execution import PlanExecution
from controller.resources.base import ResourceRegistry
from controller.spec.models import Policy
from controller.status_recorder import StatusRecorder
from controller.step_executor import StepExecutor
from controller.store.base import Store


@dataclass(frozen=True)
class Survey:
    """The first half of a pass: what is wanted, what is there, and the plan between. `unreadable` nodes are left alone.

    `wants` begins with the Environment; `gone` are the removed specs that are to be pruned; `costs` are each
    ModelService's.
    """

    contexts: Sequence[SpecContext]
    removed_specs: Collection[Key]
    graph: Graph
    seen: dict[Key, Observed]
    records: RecordIndex
    plan: Plan
    unreadable: Mapping[Key, MoorageError] = field(default_factory=dict)
    costs: Mapping[Key, CostEstimate] = field(default_factory=dict)

    @cached_property
    def contexts_by_owner(self) -> Mapping[Key, SpecContext]:
        """What each spec wants."""
        return {want.owner: want for want in self.contexts}


@dataclass(frozen=True)
class PassResult:
    """What a pass came to, for one spec or several.

    `after` is when to look again, in seconds; None when nothing is under way. `failing`: all that is waited for is that
    errors pass. `released` are the removed specs of which nothing is left; `waits` says what is waited for.
    """

    statuses: tuple[Status, ...]
    completed_steps: tuple[Step, ...]
    plan: Plan
    requeue_after: float | None
    failing: bool = False
    deleted_specs: tuple[Key, ...] = ()
    waiting_for: tuple[str, ...] = ()


@dataclass(frozen=True)
class Reconciler:
    """Keeps one environment as its specs say.

    `now` gives the time as RFC 3339 text; `tell` is called with each event as it happens; `halt` before anything new is
    begun, and raises when it mustn't be. `recent` outlives a pass: what was written, and AWS may not show yet.
    """

    registry: ResourceRegistry
    aws: AwsClient
    store: Store
    now: Callable[[], str]
    on_event: Callable[[Event], None] = lambda _: None
    raise_if_cancelled: Callable[[], None] = lambda: None
    mutation_cache: MutationCache = field(default_factory=MutationCache)

    @cached_property
    def _status_recorder(self) -> StatusRecorder:
        return StatusRecorder(self.registry, self.store, self.now, self.on_event)

    def survey(
        self, contexts: Sequence[SpecContext], *, removed_specs: Collection[Key] = (), aws_view: AwsClient | None = None
    ) -> Survey:
        """Look, and plan. Reads only.

        `wants` holds the Environment and its ModelServices; `gone` the removed specs that are to be pruned; `view` is a
        door that shares its listings with earlier surveys, where they are new enough.
        """
        graph = Graph.build(
            (want.owner, [node for resource in self.registry.values() for node in resource.expand(want)])
            for want in contexts
        )
        self.store.refresh()
        owners = {*(want.owner for want in contexts), *removed_specs}
        records = RecordIndex(self.store.list_records(contexts[0].environment.name, owners))
        seen, unreadable = self._observe(aws_view or self.aws.with_listing_cache(), graph, records)
        # A node that can't be read is neither there nor absent: no plan is made for it, nor for what is built on it.
        adopters = {want.owner for want in contexts if (want.service or want.environment).spec.policy.adopt}
        models = [(want, want.trainable_spec.spec.policy) for want in contexts if want.trainable_spec]
        costs = {want.owner: _estimate_cost(want, policy, records) for want, policy in models}
        leaves, blind = _spec_policies(contexts, removed_specs, costs), unreadable.keys()
        closures = self._retained_histories(contexts, graph, seen, records, blind)
        plan = make_plan(
            PlanningInput(graph, self.registry, seen, records, adopters, removed_specs, blind, leaves, closures)
        )
        return Survey(contexts, removed_specs, graph, seen, records, plan, unreadable, costs)

    def reconcile(self, contexts: Sequence[SpecContext], *, removed_specs: Collection[Key] = ()) -> PassResult:
        """One pass: survey, then carry out what can be done now."""
        survey = self.survey(contexts, removed_specs=removed_specs)
        work = self.start_execution(survey)
        home, *services = (want.owner for want in contexts)
        parts = [self.reconcile_spec(survey, work, owner) for owner in (*services, *removed_specs)]
        parts.insert(0, self.reconcile_spec(survey, work, home))
        waiting = [part for part in parts if part.requeue_after is not None]
        return PassResult(
            tuple(status for part in parts for status in part.statuses),
            tuple(work.completed_steps),
            survey.plan,
            min((part.requeue_after for part in waiting if part.requeue_after is not None), default=None),
            bool(waiting) and all(part.failing for part in waiting),
            tuple(owner for part in parts for owner in part.deleted_specs),
            tuple(wait for part in parts for wait in part.waiting_for),
        )

    def start_execution(self, survey: Survey) -> PlanExecution:
        """Start carrying out a plan: make what the environment shares, which everything else is built on."""
        work = PlanExecution(
            StepExecutor(self.registry, self.aws, self.store, self.mutation_cache),
            survey.graph,
            survey.plan,
            dict(survey.seen),
            survey.records,
            survey.unreadable,
            _spec_policies(survey.contexts, survey.removed_specs, survey.costs),
            self._status_recorder.record_event,
            self.raise_if_cancelled,
        )
        work.run(survey.contexts[0].owner)
        return work

    def reconcile_spec(
        self,
        survey: Survey,
        execution: PlanExecution,
        owner: Key,
        *,
        collect_garbage: bool = True,
        source_error: str = "",
    ) -> PassResult:
        """Carry out one spec's part, and say how it stands.

        The Environment's part was made already: `sweep` then says whether what it shares no longer may go, which others
        may still be built on. `trouble` says why something newer than these specs can't be read.
        """
        want = survey.contexts_by_owner.get(owner)
        if want is None and owner not in survey.removed_specs:
            raise ValueError(f"{owner} is neither wanted nor gone")
        if want is not survey.contexts[0]:
            execution.run(owner)
        execution.collect_garbage(owner, defer=not collect_garbage)
        released = want is None and self._status_recorder.stop_tracking(owner)
        statuses = (
            (self._status_recorder.record_status(want, execution, source_error),)
            if want
            else self._status_recorder.record_removed_spec(owner, execution)
        )
        waits = execution.waiting_verdicts(owner)
        done = tuple(execution.completed_by_owner.get(owner, ()))
        after = 0.0 if done else min((waiting.requeue_after for waiting in waits), default=None)
        failing = bool(waits) and all(waiting.failing for waiting in waits)
        told = tuple(dict.fromkeys(waiting.message or waiting.reason for waiting in waits))
        return PassResult(
            statuses, done, survey.plan.for_owner(owner), after, failing, (owner,) if released else (), told
        )

    def _observe(
        self, aws: AwsClient, graph: Graph, records: Collection[Record]
    ) -> tuple[dict[Key, Observed], dict[Key, MoorageError]]:
        seen: dict[Key, Observed] = {}
        unreadable: dict[Key, MoorageError] = {}
        known = {record.id: record for record in records}
        for wave in graph.waves():
            for kind, targets in _build_targets(wave, seen, known).items():
                self.raise_if_cancelled()
                found, failed = self._observe_kind(aws, kind, targets, graph.owners)
                seen |= self.mutation_cache.apply_to_all((t.key for t in targets if t.key not in failed), found)
                unreadable |= failed
        return seen, unreadable

    def _observe_kind(
        self, aws: AwsClient, kind: str, targets: Sequence[Target], owners: Mapping[Key, Key]
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
        parts = [self._observe_kind(aws, kind, group, owners) for group in groups.values()]
        return {k: v for found, _ in parts for k, v in found.items()}, {
            k: v for _, bad in parts for k, v in bad.items()
        }

    def _retained_histories(
        self,
        contexts: Sequence[SpecContext],
        graph: Graph,
        seen: Mapping[Key, Observed],
        records: RecordIndex,
        unreadable: Collection[Key],
    ) -> dict[Key, RetainedHistory]:
        """What is kept of its history by each ModelService that has one, once what is there now is ready."""
        blind = {graph.owners[key] for key in unreadable}
        past = {record.owner for record in records if len(records.for_key(record.key)) > 1} - blind
        found: dict[Key, RetainedHistory] = {}
        for want in contexts:
            before = self.store.get_status(want.owner) if want.owner in past else None
            if want.service is None or before is None:
                continue
            policy = want.service.spec.policy
            retained = {name for name, choice in policy.deletion.model_dump().items() if choice == "Retain"}
            now = build_revision(self._status_recorder.derive_status(want, before, graph, seen), "")
            # What serves is no history: that it outlives its spec keeps none of it.
            kept = retain_history(before.history, now, policy.history, retained - {"service"})
            if kept is not None:
                found[want.owner] = kept
        return found


def _build_targets(
    wave: Sequence[Node], seen: Mapping[Key, Observed], known: Mapping[str, Record]
) -> dict[str, list[Target]]:
    """Where to look for a wave's nodes, by kind. A node under an absent parent is absent: it is not looked for."""
    targets: dict[str, list[Target]] = {}
    for node in wave:
        identity = resolve(node.identity, lambda ref: get_output(seen, ref, UNKNOWN))
        if is_known(identity):
            record = known.get(digest(node.key, identity))
            hints = (record.outputs, record.confirmed_fields) if record is not None else ()
            targets.setdefault(node.key.kind, []).append(Target(node.key, identity, *hints))
    return targets


def _spec_policies(
    contexts: Sequence[SpecContext], removed_specs: Collection[Key], costs: Mapping[Key, CostEstimate]
) -> dict[Key, EffectivePolicy]:
    return {owner: EffectivePolicy() for owner in removed_specs} | {
        want.owner: _effective_policy(want, costs.get(want.owner)) for want in contexts
    }


def _effective_policy(context: SpecContext, cost: CostEstimate | None) -> EffectivePolicy:
    if context.service is None:
        return EffectivePolicy(frozenset({"artifacts"}))  # its bucket holds what its models retain
    policy = context.service.spec.policy
    choices = policy.deletion.model_dump()
    retained = frozenset(name for name, choice in choices.items() if choice == "Retain" or not policy.prune)
    leave = EffectivePolicy(retained if policy.prune else retained | {""}, correct_drift=policy.drift_correction)
    if policy.suspend:
        return replace(leave, held_reason="Suspended", held_message="policy.suspend leaves everything as it is")
    return (
        replace(leave, held_reason="OverBudget", held_message=cost.over_budget_message)
        if cost is not None and cost.over_budget_message
        else leave
    )


def _estimate_cost(context: SpecContext, policy: Policy, records: RecordIndex) -> CostEstimate:
    """What a spec costs; its last training, where one is remembered, tells how long the next one takes."""
    jobs = records.for_key(context.own_key("sagemaker/training-job"))
    billed = [record.outputs["billed"] for record in jobs if record.outputs.get("billed")]
    return estimate_cost(
        context,
        load_price_table(),
        policy.expected_requests,
        limit=policy.max_monthly_cost,
        billed_seconds=billed[-1] if billed else None,
    )
