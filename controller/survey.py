"""The first half of a pass: expand the specs, observe AWS in waves, plan. It only reads.

specs ──expand──▶ graph ──observe──▶ observed objects ──make_plan──▶ plan
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

from controller.aws import AwsClient
from controller.core.graph import Graph, Node, Observed, Target, get_output
from controller.core.mutation_cache import MutationCache
from controller.core.plan import EffectivePolicy, Plan, PlanningInput
from controller.core.planner import make_plan
from controller.core.reachability import RetainedHistory, retain_history
from controller.core.record import Record, RecordIndex
from controller.core.spec_context import SpecContext
from controller.core.status import Status, build_revision
from controller.core.values import UNKNOWN, Key, Value, digest, is_known, resolve
from controller.cost.estimate import CostEstimate, estimate_cost
from controller.cost.prices import load_price_table
from controller.errors import CredentialsError, LeaseHeldError, MoorageError, Remedy
from controller.resources.base import ResourceRegistry
from controller.spec.models import Policy
from controller.store.base import Store


@dataclass(frozen=True)
class Survey:
    """The desired state of some specs, their observed state, and the plan between the two.

    `contexts` begins with the Environment. `removed_specs` are the specs to prune. Nodes in `unreadable` could not be
    observed and are left alone. `costs` has an entry for each ModelService, `policies` one for each spec.
    """

    contexts: Sequence[SpecContext]
    removed_specs: Collection[Key]
    graph: Graph
    seen: dict[Key, Observed]
    records: RecordIndex
    plan: Plan
    unreadable: Mapping[Key, MoorageError] = field(default_factory=dict)
    costs: Mapping[Key, CostEstimate] = field(default_factory=dict)
    policies: Mapping[Key, EffectivePolicy] = field(default_factory=dict)

    @cached_property
    def contexts_by_owner(self) -> Mapping[Key, SpecContext]:
        """The context of each declared spec."""
        return {context.owner: context for context in self.contexts}


@dataclass(frozen=True)
class Surveyor:
    """Surveys the specs of one environment.

    `raise_if_cancelled` is called before each read of AWS. `mutation_cache` corrects reads that don't show Moorage's
    own writes yet.
    """

    registry: ResourceRegistry
    store: Store
    mutation_cache: MutationCache
    raise_if_cancelled: Callable[[], None]

    def survey(self, aws: AwsClient, contexts: Sequence[SpecContext], removed_specs: Collection[Key]) -> Survey:
        """Expand, observe and plan. `aws` shares its listings among the reads of the survey.

        `contexts` holds the Environment and its ModelServices. Raises CredentialsError, LeaseHeldError and StoreError;
        other errors of reads are in `Survey.unreadable`.
        """
        graph = Graph.build(
            (context.owner, [node for resource in self.registry.values() for node in resource.expand(context)])
            for context in contexts
        )
        self.store.refresh()
        owners = {*(context.owner for context in contexts), *removed_specs}
        records = RecordIndex(self.store.list_records(contexts[0].environment.name, owners))
        seen, unreadable = self._observe(aws, graph, records)
        models = [(context, context.trainable_spec.spec.policy) for context in contexts if context.trainable_spec]
        costs = {context.owner: _estimate_cost(context, policy, records) for context, policy in models}
        policies = {owner: EffectivePolicy() for owner in removed_specs}
        policies |= {context.owner: _effective_policy(context, costs.get(context.owner)) for context in contexts}
        planning_input = PlanningInput(
            graph,
            self.registry,
            seen,
            records,
            adopting_specs={
                context.owner for context in contexts if (context.service or context.environment).spec.policy.adopt
            },
            removed_specs=removed_specs,
            # A node that can't be read is neither present nor absent: neither it nor its dependents are planned.
            unreadable=unreadable.keys(),
            spec_policies=policies,
            retained_histories=self._retained_histories(contexts, graph, seen, records, unreadable.keys()),
        )
        return Survey(
            contexts, removed_specs, graph, seen, records, make_plan(planning_input), unreadable, costs, policies
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
        """Observe all targets of a kind at once.

        If that fails, spec by spec, so that one spec's error hides no other.
        """
        try:
            return self.registry[kind].observe(aws, targets), {}
        except (CredentialsError, LeaseHeldError):
            raise
        except MoorageError as error:
            groups: dict[Key, list[Target]] = {}
            for target in targets:
                groups.setdefault(owners[target.key], []).append(target)
            # An error that passes by itself, such as throttling, would only cause more calls.
            if len(groups) == 1 or error.remedy is Remedy.SOON:
                return {}, {target.key: error for target in targets}
        parts = [self._observe_kind(aws, kind, group, owners) for group in groups.values()]
        found = {key: observed for part, _ in parts for key, observed in part.items()}
        return found, {key: error for _, part in parts for key, error in part.items()}

    def _retained_histories(
        self,
        contexts: Sequence[SpecContext],
        graph: Graph,
        seen: Mapping[Key, Observed],
        records: RecordIndex,
        unreadable: Collection[Key],
    ) -> dict[Key, RetainedHistory]:
        """Return the history that each ModelService with superseded objects keeps once its present state is ready."""
        unreadable_owners = {graph.owners[key] for key in unreadable}
        superseding = {record.owner for record in records if len(records.for_key(record.key)) > 1} - unreadable_owners
        histories: dict[Key, RetainedHistory] = {}
        for context in contexts:
            previous = self.store.get_status(context.owner) if context.owner in superseding else None
            if context.service is None or previous is None:
                continue
            policy = context.service.spec.policy
            retained = {name for name, choice in policy.deletion.model_dump().items() if choice == "Retain"}
            current = build_revision(derive_status(self.registry, context, previous, graph, seen), "")
            # The service itself isn't history: retaining it keeps no superseded object.
            history = retain_history(previous.history, current, policy.history, retained - {"service"})
            if history is not None:
                histories[context.owner] = history
        return histories


def derive_status(
    registry: ResourceRegistry,
    context: SpecContext,
    previous: Status | None,
    graph: Graph,
    seen: Mapping[Key, Observed],
) -> Status:
    """Return a spec's status as far as the spec and its observed objects determine it: no conditions, no resources."""
    generation = 1
    if previous is not None:
        generation = previous.observed_generation + (previous.spec_digest != context.spec_digest)
    source = {"commit": context.inputs.commit, "author": context.inputs.author}
    facts: dict[str, Value] = {name: text for name, text in source.items() if text}
    for node in graph.nodes_of(context.owner):
        if node.key in seen:
            facts |= registry[node.key.kind].status_facts(seen[node.key])
    return Status(context.owner, generation, context.spec_digest, facts=facts)


def _build_targets(
    wave: Sequence[Node], seen: Mapping[Key, Observed], known: Mapping[str, Record]
) -> dict[str, list[Target]]:
    """Return a wave's targets by kind. A node under an absent parent is absent and has no target."""
    targets: dict[str, list[Target]] = {}
    for node in wave:
        identity = resolve(node.identity, lambda ref: get_output(seen, ref, UNKNOWN))
        if is_known(identity):
            record = known.get(digest(node.key, identity))
            hints = (record.outputs, record.confirmed_fields) if record is not None else ()
            targets.setdefault(node.key.kind, []).append(Target(node.key, identity, *hints))
    return targets


def _effective_policy(context: SpecContext, cost: CostEstimate | None) -> EffectivePolicy:
    if context.service is None:
        return EffectivePolicy(frozenset({"artifacts"}))  # the Environment's bucket holds what its models retain
    spec_policy = context.service.spec.policy
    choices = spec_policy.deletion.model_dump()
    retained = frozenset(name for name, choice in choices.items() if choice == "Retain" or not spec_policy.prune)
    policy = EffectivePolicy(
        retained if spec_policy.prune else retained | {""}, correct_drift=spec_policy.drift_correction
    )
    if spec_policy.suspend:
        return replace(policy, held_reason="Suspended", held_message="policy.suspend leaves everything as it is")
    if cost is not None and cost.over_budget_message:
        return replace(policy, held_reason="OverBudget", held_message=cost.over_budget_message)
    return policy


def _estimate_cost(context: SpecContext, policy: Policy, records: RecordIndex) -> CostEstimate:
    """Return a spec's cost; the billed seconds of its last recorded training predict those of the next."""
    jobs = records.for_key(context.own_key("sagemaker/training-job"))
    billed = [record.outputs["billed"] for record in jobs if record.outputs.get("billed")]
    return estimate_cost(
        context,
        load_price_table(),
        policy.expected_requests,
        limit=policy.max_monthly_cost,
        billed_seconds=billed[-1] if billed else None,
    )
