"""Passes over the keys that are due: looked at together, environment by environment; finished one by one, in threads.

    queue ──due keys──▶ survey of each environment ──▶ what it shares ──▶ each key in a thread of its own ──▶ queue

The event loop only hands out work and takes outcomes back; whatever asks AWS or reads the store runs in a thread.
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
from controller.environments.factory import EnvironmentOpener, OpenEnvironment
from controller.errors import CredentialsError, FailedError, LeaseHeldError, MoorageError, NotPlannedError, StoreError
from controller.plan_execution import PlanExecution
from controller.reconcile import PassResult, Survey
from controller.sources.snapshots import Snapshot
from controller.store.lease import Lease

T = TypeVar("T")

# A step that is planned and done again and again changes nothing: AWS stores something other than what was sent.
_MAX_REPEATS = 5
# How often a lease that somebody else holds is asked for, in seconds.
_STANDBY_SECONDS = 5.0
# How often those that are ours are kept.
_RENEWAL_SECONDS = 5.0
# What concerns an environment as a whole: looking at its specs one by one would fail alike.
_ENVIRONMENT_ERRORS = (CredentialsError, LeaseHeldError, NotPlannedError, StoreError)


@dataclass(frozen=True)
class PassAttempt:
    """What became of one key's pass: `done`, or else the error that ended it. `seconds` is what it took."""

    key: Key
    result: PassResult | None
    error: Exception | None
    seconds: float


@dataclass(frozen=True)
class ActivePass:
    """A pass over some keys of one environment, after what they share was seen to. `number` tells passes apart in the log."""

    environment: OpenEnvironment
    snapshot: Snapshot
    survey: Survey
    execution: PlanExecution
    pass_id: str

    def includes(self, key: Key) -> bool:
        """Whether the key is declared, or to be pruned, in what the pass began with."""
        return key in self.survey.removed_specs or key in self.survey.contexts_by_owner


@dataclass(frozen=True)
class ListingView:
    """A door whose listings are of no earlier than when it was `born`, for surveys of what one snapshot declares."""

    snapshot: Snapshot
    created_at: float
    aws: AwsClient


class Dispatcher:
    """Works off a queue.

    `open_site` opens an environment, in a thread; `leases` are those to be kept while nothing is sent; `told` gets every
    outcome, on the event loop. `allow` gives what a pass may do of its plan, or raises NotPlannedError.
    """

    def __init__(
        self,
        open_environment: EnvironmentOpener,
        queue: Queue,
        cancellation: CancellationToken,
        clock: Callable[[], float],
        *,
        parallel: int,
        leases: Callable[[], Iterable[Lease]] = tuple,
        on_attempt: Callable[[PassAttempt], None],
        restrict_plan: Callable[[Plan], Plan] = lambda plan: plan,
    ) -> None:
        self._restrict_plan = restrict_plan
        self._open_environment, self._queue, self._cancellation, self._clock = (
            open_environment,
            queue,
            cancellation,
            clock,
        )
        self._leases, self._on_attempt = leases, on_attempt
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
        """Want this from now on, whatever was waited for until now; `gone` are the removed specs that are to be pruned."""
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
        """Let every status say why something newer than what is declared can't be read."""
        self.source_error = message
        self.enqueue_all()

    def enqueue_all(self) -> None:
        """Look at everything: nobody may have told what changed."""
        for key in self.keys:
            self._queue.add(key)
        self.wake()

    def hint(self, key: Key) -> None:
        """Look at a key soon: something may have happened to it."""
        if key in self.keys:
            self._queue.hint(key)
            self.wake()

    def wake(self) -> None:
        """Let the loop ask the queue again."""
        self._woken.set()

    @property
    def survey_seconds(self) -> float:
        """How many seconds of AWS's rates one look at everything takes."""
        return sum(self._costs.values())

    @property
    def oldest_pass_seconds(self) -> float:
        """For how many seconds the oldest of the passes under way has been at work; 0 without any."""
        return self._clock() - min(self._started_at.values(), default=self._clock())

    async def run(self, *, settle: bool = False) -> None:
        """Work until halted; with `settle`, until no key has a date. Returns once nothing is in flight."""
        flights: set[asyncio.Task[None]] = set()
        keeper = asyncio.create_task(self._renew_leases())
        while not self._cancellation.is_cancelled:
            for environment, due in _by_environment(self._queue.take(self._busy_environments)).items():
                flight = asyncio.create_task(self._run_pass(environment, [*due], since=max(due.values())))
                flights.add(flight)
                self._started_at[id(flight)] = self._clock()
                flight.add_done_callback(flights.discard)
                flight.add_done_callback(lambda ended: self._started_at.pop(id(ended), None))
            if settle and not self._queue.unsettled:
                break
            await self._wait()
        await asyncio.gather(*flights)
        keeper.cancel()

    def close(self) -> None:
        """Give the threads back; they are idle once `run` has returned."""
        self._pool.shutdown(wait=False)

    async def _renew_leases(self) -> None:
        """Keep the leases while nothing is sent: each call renews them, too. A lost one is told by the next pass."""
        while True:
            await asyncio.sleep(_RENEWAL_SECONDS)
            for lease in self._leases():
                if lease.held:
                    with contextlib.suppress(MoorageError):
                        await asyncio.to_thread(lease.renew)

    @property
    def _busy_environments(self) -> Collection[str]:
        """The environments that are being looked at: what falls due there meanwhile is looked at together, after that."""
        return [environment for environment, lock in self._locks.items() if lock.locked()]

    async def _wait(self) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._woken.wait(), self._queue.wait(self._busy_environments))
        self._woken.clear()

    async def _run_pass(self, environment: str, keys: Sequence[Key], *, since: float, alone: bool = False) -> None:
        """One pass: what is shared under a lock, then every ModelService by itself; `alone`, with no other key.

        `since` is when the last of the keys fell due: what is older doesn't count.
        """
        started, home = self._clock(), Key(environment, "Environment", environment)
        try:
            async with self._locks.setdefault(environment, asyncio.Lock()):
                if not alone and home not in keys and self._queue.claim(home):
                    keys = [home, *keys]
                begun = await self._run_in_thread(partial(self._start_pass, environment, keys, since))
                if home in keys or begun.execution.completed_by_owner.get(home):
                    await self._reconcile_key(begun, home, scheduled=home in keys)
        except RunCancelledError:
            return
        except Exception as error:  # noqa: BLE001  (a key's defect ends its pass, never the loop)
            if len(keys) > 1 and not isinstance(error, _ENVIRONMENT_ERRORS):
                for key in keys:
                    await self._run_pass(environment, [key], since=self._clock(), alone=True)
                return
            for key in keys:
                self._report(PassAttempt(key, None, error, self._clock() - started))
            return
        self.wake()
        await asyncio.gather(*(self._reconcile_key(begun, key) for key in keys if key != home))

    def _start_pass(self, environment: str, keys: Collection[Key], since: float) -> ActivePass:
        """Look at some keys of an environment together, and make what they share. Runs in a thread."""
        self._cancellation.raise_if_cancelled()
        if self._snapshot is None:
            raise RuntimeError("nothing is declared yet")
        site, number = self._open_environment(self._snapshot, environment), secrets.token_hex(4)
        site.lease.acquire()
        home, *services = site.contexts
        before = site.aws.call_counter.counts_of_thread()
        with _log_context(home.owner, self._snapshot, number):
            survey = site.reconciler.survey(
                [home, *(want for want in services if want.owner in keys)],
                removed_specs=self._removed_specs.intersection(keys),
                aws_view=self._listing_view(site, self._snapshot, since),
            )
            cost = minimum_seconds(site.aws.call_counter.counts_of_thread() - before)
            self._costs |= dict.fromkeys(keys, cost / len(keys))
            survey = replace(survey, plan=self._restrict_plan(survey.plan))
            return ActivePass(site, self._snapshot, survey, site.reconciler.start_execution(survey), number)

    def _listing_view(self, environment: OpenEnvironment, snapshot: Snapshot, since: float) -> AwsClient:
        """A door for a survey. Keys that were due before a listing was asked for share it: it shows all they are due for.

        What the environment itself stands for is in each survey, and is read by no listing.
        """
        view = self._views.get(environment.name)
        if view is None or view.snapshot is not snapshot or since > view.created_at:
            view = self._views[environment.name] = ListingView(
                snapshot, self._clock(), environment.aws.with_listing_cache()
            )
        return view.aws

    async def _reconcile_key(self, active: ActivePass, key: Key, *, scheduled: bool = True) -> None:
        """Finish one key's part; not `ours` when another pass, which waits for this one, has the key from the queue."""
        if not active.includes(key):
            # Declared no more since it was handed out.
            self._queue.finish(key)
            self.wake()
            return
        started = self._clock()
        others = (other for other in self._queue.unsettled if other != key and other.environment == key.environment)
        sweep = key.kind != "Environment" or not any(others)

        def finish() -> PassResult:
            self._cancellation.raise_if_cancelled()
            with _log_context(key, active.snapshot, active.pass_id):
                reconciler = active.environment.reconciler
                return reconciler.reconcile_spec(
                    active.survey, active.execution, key, collect_garbage=sweep, source_error=self.source_error
                )

        try:
            done = await self._run_in_thread(finish)
        except RunCancelledError:
            return
        except Exception as error:  # noqa: BLE001  (a key's defect ends its pass, never the loop)
            self._report(PassAttempt(key, None, error, self._clock() - started), scheduled=scheduled)
        else:
            self._report(
                PassAttempt(key, done, self._find_repetition(key, done), self._clock() - started), scheduled=scheduled
            )

    def _report(self, attempt: PassAttempt, *, scheduled: bool = True) -> None:
        """Tell of an outcome, and give the key its next date."""
        if scheduled:
            self._schedule(attempt)
        self._on_attempt(attempt)
        self.wake()

    def _schedule(self, attempt: PassAttempt) -> None:
        key, done, error = attempt.key, attempt.result, attempt.error
        if isinstance(error, LeaseHeldError):
            self._queue.finish(key, error.retry_after or _STANDBY_SECONDS)
        elif error is not None:
            self._queue.finish(key, getattr(error, "retry_after", None), failing=True)
        elif done is not None:
            self._queue.finish(key, done.requeue_after, failing=done.failing)
            self._on_success(key, done)
        if key not in self.keys:
            self._queue.forget(key)

    def _on_success(self, key: Key, result: PassResult) -> None:
        """What a good pass means for others: what was pruned is nobody's key; who waits for an environment needn't."""
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
        """The error of doing the same steps over and over, when it has come to that."""
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
    """While this holds, every line of the log says which key, commit and pass it is about."""
    about = {"key": f"{key.environment}/{key.kind}/{key.name}", "pass": pass_id}
    return structlog.contextvars.bound_contextvars(**about, **({"commit": snapshot.commit} if snapshot.commit else {}))
