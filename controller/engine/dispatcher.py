"""Run passes over the keys that are due: survey them together by environment, then finish each one in a thread.

    queue ──due keys──▶ survey of each environment ──▶ its shared objects ──▶ each key in a thread of its own ──▶ queue

The event loop only hands out work and takes results back. Code that calls AWS or reads the store runs in a thread.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

import structlog

from controller.aws import AwsClient
from controller.aws.rate_limits import minimum_seconds
from controller.core.plan import Plan
from controller.core.values import Key
from controller.engine.run_result import is_ready
from controller.engine.work_queue import Queue
from controller.environments.cancellation import CancellationToken, RunCancelledError
from controller.environments.factory import EnvironmentSource, OpenEnvironment
from controller.errors import CredentialsError, FailedError, LeaseHeldError, MoorageError, NotPlannedError, StoreError
from controller.plan_execution import PlanExecution
from controller.reconcile import PassResult
from controller.sources.snapshots import Snapshot
from controller.survey import Survey

T = TypeVar("T")

# The same step again and again means that AWS stores something other than what was sent.
_MAX_REPEATS = 5
# The interval at which a lease that another process holds is requested, in seconds.
_STANDBY_SECONDS = 5.0
# The interval at which this process renews its leases, in seconds.
_RENEWAL_SECONDS = 5.0
# Errors that concern a whole environment: a survey of each spec alone would fail the same way.
_ENVIRONMENT_ERRORS = (CredentialsError, LeaseHeldError, NotPlannedError, StoreError)

# Returns the part of a plan that a pass may execute, or raises NotPlannedError.
PlanFilter = Callable[[Plan], Plan]


def execute_whole_plan(plan: Plan) -> Plan:
    """Return the plan unchanged: the PlanFilter that allows everything."""
    return plan


@dataclass(frozen=True)
class PassAttempt:
    """One key's pass: its result, or the error that ended it, and its duration in seconds."""

    key: Key
    result: PassResult | None
    error: Exception | None
    seconds: float


@dataclass(frozen=True)
class ActivePass:
    """A pass over some keys of one environment whose shared objects are applied. `pass_id` identifies it in the log."""

    environment: OpenEnvironment
    snapshot: Snapshot
    survey: Survey
    execution: PlanExecution
    pass_id: str

    def includes(self, key: Key) -> bool:
        """Whether the pass began with the key, declared or to be pruned."""
        return key in self.survey.removed_specs or key in self.survey.contexts_by_owner


@dataclass(frozen=True)
class ListingView:
    """A client whose listings are no older than `created_at`, for surveys of one snapshot."""

    snapshot: Snapshot
    created_at: float
    aws: AwsClient


class Dispatcher:
    """Works off a queue.

    `environments` opens environments, in a thread, and knows the leases to renew while nothing is sent. `parallel` is
    the number of threads. `on_attempt` gets every attempt, on the event loop. The clock is the queue's.
    """

    def __init__(
        self,
        environments: EnvironmentSource,
        queue: Queue,
        cancellation: CancellationToken,
        *,
        parallel: int,
        on_attempt: Callable[[PassAttempt], None],
        restrict_plan: PlanFilter = execute_whole_plan,
    ) -> None:
        self._environments, self._queue, self._cancellation = environments, queue, cancellation
        self._on_attempt, self._restrict_plan = on_attempt, restrict_plan
        self._clock = queue.clock
        self._pool = ThreadPoolExecutor(parallel, "pass")
        self._woken = asyncio.Event()
        self._locks: dict[str, asyncio.Lock] = {}
        self._snapshot: Snapshot | None = None
        self._removed_specs: frozenset[Key] = frozenset()
        self._ready: dict[str, bool] = {}
        self._repeats: dict[Key, tuple[str, int]] = {}
        self._costs: dict[Key, float] = {}
        self._started_at: dict[int, float] = {}
        self._views: dict[str, ListingView] = {}
        self.keys: frozenset[Key] = frozenset()
        self.source_error = ""

    def declare(self, snapshot: Snapshot, removed_specs: Iterable[Key] = ()) -> None:
        """Replace the desired state, whatever was waited for until now. `removed_specs` are to be pruned."""
        self._snapshot, self._removed_specs, self.source_error = snapshot, frozenset(removed_specs), ""
        keys = frozenset((*snapshot.owners, *self._removed_specs))
        for key in self.keys - keys:
            self._queue.forget(key)
            self._costs.pop(key, None)
        self.keys = keys
        for key in sorted(keys):
            self._queue.supersede(key)
        self._repeats.clear()
        self.wake()

    def report_source_error(self, message: str) -> None:
        """Make every status say why specs newer than the declared ones can't be read."""
        self.source_error = message
        self.enqueue_all()

    def enqueue_all(self) -> None:
        """Make every key due: no event reports every change."""
        for key in self.keys:
            self._queue.add(key)
        self.wake()

    def hint(self, key: Key) -> None:
        """Make a key due soon: its objects may have changed."""
        if key in self.keys:
            self._queue.hint(key)
            self.wake()

    def wake(self) -> None:
        """Make the loop ask the queue again."""
        self._woken.set()

    @property
    def survey_seconds(self) -> float:
        """The seconds of AWS's rate limits that a survey of every key takes."""
        return sum(self._costs.values())

    @property
    def oldest_pass_seconds(self) -> float:
        """The age of the oldest pass in flight, in seconds; 0 without any."""
        return self._clock() - min(self._started_at.values(), default=self._clock())

    async def run(self, *, settle: bool = False) -> None:
        """Work until cancelled; with `settle`, until no key has a due date. Returns once nothing is in flight."""
        in_flight: set[asyncio.Task[None]] = set()
        renewal = asyncio.create_task(self._renew_leases())
        while not self._cancellation.is_cancelled:
            for environment, due in _by_environment(self._queue.take(self._busy_environments)).items():
                task = asyncio.create_task(self._run_pass(environment, [*due], since=max(due.values())))
                in_flight.add(task)
                self._started_at[id(task)] = self._clock()
                task.add_done_callback(in_flight.discard)
                task.add_done_callback(lambda ended: self._started_at.pop(id(ended), None))
            if settle and not self._queue.unsettled:
                break
            await self._wait()
        await asyncio.gather(*in_flight)
        renewal.cancel()

    def close(self) -> None:
        """Release the threads, which are idle once `run` has returned."""
        self._pool.shutdown(wait=False)

    async def _renew_leases(self) -> None:
        """Renew the leases while nothing is sent; each call renews them, too. The next pass reports a lost one."""
        while True:
            await asyncio.sleep(_RENEWAL_SECONDS)
            for lease in self._environments.leases:
                if lease.held:
                    with contextlib.suppress(MoorageError):
                        await asyncio.to_thread(lease.renew)

    @property
    def _busy_environments(self) -> Collection[str]:
        """The environments in a survey: their keys that fall due meanwhile are surveyed together afterwards."""
        return [environment for environment, lock in self._locks.items() if lock.locked()]

    async def _wait(self) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._woken.wait(), self._queue.wait(self._busy_environments))
        self._woken.clear()

    async def _run_pass(self, environment: str, keys: Sequence[Key], *, since: float, alone: bool = False) -> None:
        """Run one pass: the shared objects under a lock, then every ModelService by itself.

        `alone`, without another key.

        `since` is when the last of the keys fell due: an older listing doesn't count.
        """
        started, environment_key = self._clock(), Key(environment, "Environment", environment)
        try:
            async with self._locks.setdefault(environment, asyncio.Lock()):
                if not alone and environment_key not in keys and self._queue.claim(environment_key):
                    keys = [environment_key, *keys]
                active = await self._run_in_thread(partial(self._start_pass, environment, keys, since))
                if environment_key in keys or active.execution.progress_of(environment_key).completed_steps:
                    await self._reconcile_key(active, environment_key, scheduled=environment_key in keys)
        except RunCancelledError:
            return
        except Exception as error:  # noqa: BLE001  (a defect ends this pass, never the loop)
            if len(keys) > 1 and not isinstance(error, _ENVIRONMENT_ERRORS):
                for key in keys:
                    await self._run_pass(environment, [key], since=self._clock(), alone=True)
                return
            for key in keys:
                self._report(PassAttempt(key, None, error, self._clock() - started))
            return
        self.wake()
        await asyncio.gather(*(self._reconcile_key(active, key) for key in keys if key != environment_key))

    def _start_pass(self, environment: str, keys: Collection[Key], since: float) -> ActivePass:
        """Survey some keys of an environment together, and apply what they share. Runs in a thread."""
        self._cancellation.raise_if_cancelled()
        if self._snapshot is None:
            raise RuntimeError("nothing is declared yet")
        opened, pass_id = self._environments.open_environment(self._snapshot, environment), secrets.token_hex(4)
        opened.lease.acquire()
        shared, *services = opened.contexts
        before = opened.aws.call_counter.counts_of_thread()
        with _log_context(shared.owner, self._snapshot, pass_id):
            survey = opened.reconciler.survey(
                [shared, *(context for context in services if context.owner in keys)],
                removed_specs=self._removed_specs.intersection(keys),
                aws_view=self._listing_view(opened, self._snapshot, since),
            )
            cost = minimum_seconds(opened.aws.call_counter.counts_of_thread() - before)
            self._costs |= dict.fromkeys(keys, cost / len(keys))
            survey = replace(survey, plan=self._restrict_plan(survey.plan))
            execution = opened.reconciler.start_execution(survey)
            return ActivePass(opened, self._snapshot, survey, execution, pass_id)

    def _listing_view(self, environment: OpenEnvironment, snapshot: Snapshot, since: float) -> AwsClient:
        """Return the client for a survey.

        Keys that were due before a listing began share it: it shows what made them due.

        Each survey contains the environment's own objects, which no listing covers.
        """
        view = self._views.get(environment.name)
        if view is None or view.snapshot is not snapshot or since > view.created_at:
            view = self._views[environment.name] = ListingView(
                snapshot, self._clock(), environment.aws.with_listing_cache()
            )
        return view.aws

    async def _reconcile_key(self, active: ActivePass, key: Key, *, scheduled: bool = True) -> None:
        """Reconcile one key in a thread.

        Not `scheduled` if a pass that waits for this one has the key from the queue.
        """
        if not active.includes(key):
            # The key is no longer declared since the queue handed it out.
            self._queue.finish(key)
            self.wake()
            return
        started = self._clock()
        others = (other for other in self._queue.unsettled if other != key and other.environment == key.environment)
        collect_garbage = key.kind != "Environment" or not any(others)

        def reconcile() -> PassResult:
            self._cancellation.raise_if_cancelled()
            with _log_context(key, active.snapshot, active.pass_id):
                return active.environment.reconciler.reconcile_spec(
                    active.survey,
                    active.execution,
                    key,
                    collect_garbage=collect_garbage,
                    source_error=self.source_error,
                )

        try:
            result = await self._run_in_thread(reconcile)
        except RunCancelledError:
            return
        except Exception as error:  # noqa: BLE001  (a defect ends this pass, never the loop)
            attempt = PassAttempt(key, None, error, self._clock() - started)
        else:
            attempt = PassAttempt(key, result, self._find_repetition(key, result), self._clock() - started)
        self._report(attempt, scheduled=scheduled)

    def _report(self, attempt: PassAttempt, *, scheduled: bool = True) -> None:
        """Report an attempt, and give its key the next due date."""
        if scheduled:
            self._schedule(attempt)
        self._on_attempt(attempt)
        self.wake()

    def _schedule(self, attempt: PassAttempt) -> None:
        key, result, error = attempt.key, attempt.result, attempt.error
        if isinstance(error, LeaseHeldError):
            self._queue.finish(key, error.retry_after or _STANDBY_SECONDS)
        elif error is not None:
            self._queue.finish(key, getattr(error, "retry_after", None), failing=True)
        elif result is not None:
            self._queue.finish(key, result.requeue_after, failing=result.failing)
            self._on_success(key, result)
        if key not in self.keys:
            self._queue.forget(key)

    def _on_success(self, key: Key, result: PassResult) -> None:
        """Forget a pruned key; once an environment is ready, make the keys due that may have waited for it."""
        if key in self._removed_specs and result.requeue_after is None:
            self._removed_specs, self.keys = self._removed_specs - {key}, self.keys - {key}
        if key.kind == "Environment":
            ready = all(is_ready(status) for status in result.statuses)
            if ready and not self._ready.get(key.environment, True):
                for other in self._queue.unsettled:
                    if other.environment == key.environment and other != key:
                        self._queue.supersede(other)
            self._ready[key.environment] = ready

    def _find_repetition(self, key: Key, result: PassResult) -> FailedError | None:
        """Return an error if the same steps were needed in too many passes in a row."""
        last, count = self._repeats.get(key, ("", 0))
        digest = result.plan.digest
        count = count + 1 if result.completed_steps and digest == last else 0
        self._repeats[key] = digest, count
        if count < _MAX_REPEATS:
            return None
        fields = (
            f"{s.action} {s.node.key}: {', '.join(change.path for change in s.changes)}" for s in result.completed_steps
        )
        return FailedError("the same steps are needed again after they were done", why="; ".join(fields))

    async def _run_in_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._pool, work)


def _by_environment(due: Mapping[Key, float]) -> dict[str, dict[Key, float]]:
    groups: dict[str, dict[Key, float]] = {}
    for key, date in due.items():
        groups.setdefault(key.environment, {})[key] = date
    return groups


def _log_context(key: Key, snapshot: Snapshot, pass_id: str) -> AbstractContextManager[None]:
    """Add the key, commit and pass to every line of the log in this context."""
    about = {"key": f"{key.environment}/{key.kind}/{key.name}", "pass": pass_id}
    return structlog.contextvars.bound_contextvars(**about, **({"commit": snapshot.commit} if snapshot.commit else {}))
