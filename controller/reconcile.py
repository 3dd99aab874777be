"""The story: specs become a graph, AWS is observed, the difference becomes a plan, and the plan is executed.

    specs ──expand──▶ graph ──observe, in waves──▶ observed ──plan──▶ steps ──execute──▶ AWS
                                                                        └──▶ status, events ──▶ store

`survey` is the first half and only reads; `reconcile` does both. The second half goes spec by spec: `start_execution`
applies what the environment shares, then `reconcile_spec` applies each spec, several at once in threads. Reconciliation
is level-triggered: a pass knows nothing of the one before and plans anew. It never sleeps: it starts what takes time,
and its result says after how many seconds to look again.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from controller.aws import AwsClient
from controller.core.mutation_cache import MutationCache
from controller.core.plan import Plan, Step
from controller.core.spec_context import SpecContext
from controller.core.status import DiscardedEvents, EventSink, Status
from controller.core.values import Key
from controller.plan_execution import PlanExecution
from controller.resources.base import ResourceRegistry
from controller.status_recorder import StatusRecorder
from controller.step_executor import StepExecutor
from controller.store.base import Store
from controller.survey import Survey, Surveyor


@dataclass(frozen=True)
class PassResult:
    """The result of a pass, for one spec or several.

    `requeue_after` is in seconds, None if nothing is in progress. `failing` says that the pass waits for errors only.
    `deleted_specs` are the removed specs that left nothing behind; `waiting_for` names what the pass waits for.
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
    """Reconciles the specs of one environment.

    `now` returns the time as RFC 3339 text. `events` receives each event as it happens. `raise_if_cancelled` is called
    before any new work and raises if none may begin. `mutation_cache` outlives a pass: it holds writes that AWS may not
    show yet.
    """

    registry: ResourceRegistry
    aws: AwsClient
    store: Store
    now: Callable[[], str]
    events: EventSink = field(default_factory=DiscardedEvents)
    raise_if_cancelled: Callable[[], None] = lambda: None
    mutation_cache: MutationCache = field(default_factory=MutationCache)

    @cached_property
    def _status_recorder(self) -> StatusRecorder:
        return StatusRecorder(self.registry, self.store, self.now, self.events)

    def survey(
        self, contexts: Sequence[SpecContext], *, removed_specs: Collection[Key] = (), aws_view: AwsClient | None = None
    ) -> Survey:
        """Observe and plan. Only reads.

        `contexts` holds the Environment and its ModelServices; `removed_specs` are to be pruned. `aws_view` is a client
        that shares its listings with earlier surveys. Raises CredentialsError, LeaseHeldError and StoreError.
        """
        surveyor = Surveyor(self.registry, self.store, self.mutation_cache, self.raise_if_cancelled)
        return surveyor.survey(aws_view or self.aws.with_listing_cache(), contexts, removed_specs)

    def reconcile(self, contexts: Sequence[SpecContext], *, removed_specs: Collection[Key] = ()) -> PassResult:
        """Run one pass: survey, then execute what can be done now."""
        survey = self.survey(contexts, removed_specs=removed_specs)
        execution = self.start_execution(survey)
        environment, *services = (context.owner for context in contexts)
        parts = [self.reconcile_spec(survey, execution, owner) for owner in (*services, *removed_specs)]
        parts.insert(0, self.reconcile_spec(survey, execution, environment))
        waiting = [part for part in parts if part.requeue_after is not None]
        return PassResult(
            tuple(status for part in parts for status in part.statuses),
            tuple(step for part in parts for step in part.completed_steps),
            survey.plan,
            min((part.requeue_after for part in waiting if part.requeue_after is not None), default=None),
            bool(waiting) and all(part.failing for part in waiting),
            tuple(owner for part in parts for owner in part.deleted_specs),
            tuple(wait for part in parts for wait in part.waiting_for),
        )

    def start_execution(self, survey: Survey) -> PlanExecution:
        """Start to execute a plan: apply what the environment shares and every ModelService depends on."""
        executor = StepExecutor(self.registry, self.aws, self.store, self.mutation_cache)
        execution = PlanExecution(executor, survey, self._status_recorder, self.raise_if_cancelled)
        execution.run(survey.contexts[0].owner)
        return execution

    def reconcile_spec(
        self,
        survey: Survey,
        execution: PlanExecution,
        owner: Key,
        *,
        collect_garbage: bool = True,
        source_error: str = "",
    ) -> PassResult:
        """Execute one spec's part of the plan and record its status.

        `start_execution` has applied the Environment's part already; `collect_garbage` then says whether shared objects
        that no spec needs may be deleted, which a concurrent ModelService may still depend on. `source_error` says why
        newer specs can't be read. Raises ValueError if the survey doesn't contain the spec.
        """
        context = survey.contexts_by_owner.get(owner)
        if context is None and owner not in survey.removed_specs:
            raise ValueError(f"{owner} is neither declared nor removed")
        if context is not survey.contexts[0]:
            execution.run(owner)
        execution.collect_garbage(owner, defer=not collect_garbage)
        deleted = context is None and self._status_recorder.stop_tracking(owner)
        if context is not None:
            statuses: tuple[Status, ...] = (self._status_recorder.record_status(context, execution, source_error),)
        else:
            statuses = self._status_recorder.record_removed_spec(owner, execution)
        waits = execution.waiting_verdicts(owner)
        completed = tuple(execution.progress_of(owner).completed_steps)
        return PassResult(
            statuses,
            completed,
            survey.plan.for_owner(owner),
            0.0 if completed else min((waiting.requeue_after for waiting in waits), default=None),
            bool(waits) and all(waiting.failing for waiting in waits),
            (owner,) if deleted else (),
            tuple(dict.fromkeys(waiting.message or waiting.reason for waiting in waits)),
        )
