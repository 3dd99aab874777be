"""`reconcile --once`: the loop's passes, until every spec is ready, failed, or waits for a person."""

from __future__ import annotations

import asyncio
import random
import signal
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass

from controller.core.plan import Plan
from controller.core.values import Key
from controller.engine.dispatcher import Dispatcher, PassAttempt, PlanFilter, execute_whole_plan
from controller.engine.run_result import RunResult
from controller.engine.work_queue import Queue
from controller.environments.cancellation import CancellationToken
from controller.environments.factory import EnvironmentSource
from controller.errors import DeadlineError, NotPlannedError
from controller.sources.snapshots import Snapshot


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """How `run_once` behaves. `timeout` is in seconds.

    `removed_specs` are pruned. With `wait` false, every spec gets a single pass. `parallel` is the number of threads,
    `pace` scales all pauses: the embedded AWS is faster than AWS. `restrict_plan` returns the part of a plan that a
    pass may execute, or raises NotPlannedError.
    """

    timeout: float
    wait: bool = True
    parallel: int = 4
    pace: float = 1.0
    removed_specs: Collection[Key] = ()
    restrict_plan: PlanFilter = execute_whole_plan


def run_once(
    environments: EnvironmentSource,
    snapshot: Snapshot,
    cancellation: CancellationToken,
    options: RunOptions,
    on_progress: Callable[[RunResult], None] = lambda _: None,
) -> RunResult:
    """Reconcile a snapshot until nothing is in progress any more.

    `on_progress` gets the result so far after every pass. Steps in progress are finished before anything is raised:
    DeadlineError after the timeout, KeyboardInterrupt on SIGINT or SIGTERM, FailedError if the same steps are needed
    over and over, and the first error that concerns more than one resource.
    """
    run = _RunOnce(environments, cancellation, options, on_progress)
    asyncio.run(run.run(snapshot))
    return run.result()


class _RunOnce:
    """One run in progress: its result so far, and the errors that ended it early."""

    def __init__(
        self,
        environments: EnvironmentSource,
        cancellation: CancellationToken,
        options: RunOptions,
        on_progress: Callable[[RunResult], None],
    ) -> None:
        self._cancellation, self._options, self._on_progress = cancellation, options, on_progress
        self._result, self._errors = RunResult(), list[BaseException]()
        self._queue = Queue(time.monotonic, random.random, pace=options.pace)
        self._dispatcher = Dispatcher(
            environments,
            self._queue,
            cancellation,
            parallel=options.parallel,
            on_attempt=self._on_attempt,
            restrict_plan=self._restrict,
        )

    async def run(self, snapshot: Snapshot) -> None:
        """Work until nothing is in progress, or until something ends the run."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._stop, KeyboardInterrupt())
        timeout = self._options.timeout
        loop.call_later(timeout, self._stop, DeadlineError(f"not done after {timeout:g} s", hint="run again to go on"))
        self._dispatcher.declare(snapshot, self._options.removed_specs)
        try:
            await self._dispatcher.run(settle=True)
        finally:
            self._dispatcher.close()

    def result(self) -> RunResult:
        """Return the run's result. Raises what ended the run early."""
        for error in self._errors:
            if isinstance(error, DeadlineError):
                error.why = self._result.waiting_message
            raise error
        return self._result

    def _stop(self, error: BaseException) -> None:
        self._errors.append(error)
        self._cancellation.cancel()
        self._dispatcher.wake()

    def _on_attempt(self, attempt: PassAttempt) -> None:
        if attempt.result is not None:
            self._result.add(attempt.key, attempt.result)
            self._on_progress(self._result)
        if attempt.error is not None and getattr(attempt.error, "retry_after", None) is None:
            self._stop(attempt.error)
        if not self._options.wait:
            self._queue.forget(attempt.key)

    def _restrict(self, plan: Plan) -> Plan:
        """Cancel the whole run, in every thread, as soon as one plan isn't allowed."""
        try:
            return self._options.restrict_plan(plan)
        except NotPlannedError:
            self._cancellation.cancel()
            raise
