"""`reconcile --once`: the same passes as the loop's, until everything is as it should be, failed, or waits for a person."""

from __future__ import annotations

import asyncio
import random
import signal
import time
from collections.abc import Callable, Iterable

from controller.core.plan import Plan
from controller.core.values import Key
from controller.engine.dispatcher import Dispatcher, PassAttempt
from controller.engine.run_result import RunResult
from controller.engine.work_queue import Queue
from controller.environments.cancellation import CancellationToken
from controller.environments.factory import EnvironmentOpener
from controller.errors import DeadlineError, NotPlannedError
from controller.sources.snapshots import Snapshot
from controller.store.lease import Lease


def run_once(
    open_environment: EnvironmentOpener,
    snapshot: Snapshot,
    cancellation: CancellationToken,
    *,
    removed_specs: Iterable[Key] = (),
    timeout: float,
    wait: bool = True,
    parallel: int = 4,
    pace: float = 1.0,
    leases: Callable[[], Iterable[Lease]] = tuple,
    on_progress: Callable[[RunResult], None] = lambda _: None,
    restrict_plan: Callable[[Plan], Plan] = lambda plan: plan,
) -> RunResult:
    """Reconcile until nothing is under way any more; with `wait` false, one pass over each spec.

    `leases` are kept meanwhile; `watch` sees how things stand after every pass; `allow` gives what a
    pass may do of its plan, or raises NotPlannedError. Raises DeadlineError after `timeout` seconds, KeyboardInterrupt when
    asked to end, FailedError when the same steps are done over and over, and the first error that concerns more than a
    resource. What is under way is finished first.
    """
    once = _RunOnce(
        open_environment,
        cancellation,
        wait=wait,
        parallel=parallel,
        pace=pace,
        leases=leases,
        on_progress=on_progress,
        restrict_plan=restrict_plan,
    )
    asyncio.run(once.run(snapshot, removed_specs, timeout))
    return once.result()


class _RunOnce:
    """One run, on its way: what it came to so far, and what ended it before its time."""

    def __init__(
        self,
        open_environment: EnvironmentOpener,
        cancellation: CancellationToken,
        *,
        wait: bool,
        parallel: int,
        pace: float,
        leases: Callable[[], Iterable[Lease]],
        on_progress: Callable[[RunResult], None],
        restrict_plan: Callable[[Plan], Plan],
    ) -> None:
        self._halt, self._wait, self._watch, self._allow = cancellation, wait, on_progress, restrict_plan
        self._run, self._errors = RunResult(), list[BaseException]()
        self._queue = Queue(time.monotonic, random.random, pace=pace)
        self._dispatcher = Dispatcher(
            open_environment,
            self._queue,
            cancellation,
            time.monotonic,
            parallel=parallel,
            leases=leases,
            on_attempt=self._on_attempt,
            restrict_plan=self._restrict,
        )

    async def run(self, snapshot: Snapshot, removed_specs: Iterable[Key], seconds: float) -> None:
        """Work until nothing is under way, or until something ends the run."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._stop, KeyboardInterrupt())
        late = DeadlineError(f"not done after {seconds:g} s", hint="run again to go on")
        loop.call_later(seconds, self._stop, late)
        self._dispatcher.declare(snapshot, removed_specs)
        try:
            await self._dispatcher.run(settle=True)
        finally:
            self._dispatcher.close()

    def result(self) -> RunResult:
        """What the run came to. Raises what ended it."""
        for error in self._errors:
            if isinstance(error, DeadlineError):
                error.why = self._run.waiting_message
            raise error
        return self._run

    def _stop(self, error: BaseException) -> None:
        self._errors.append(error)
        self._halt.cancel()
        self._dispatcher.wake()

    def _on_attempt(self, attempt: PassAttempt) -> None:
        if attempt.result is not None:
            self._run.add(attempt.key, attempt.result)
            self._watch(self._run)
        if attempt.error is not None and getattr(attempt.error, "retry_after", None) is None:
            self._stop(attempt.error)
        if not self._wait:
            self._queue.forget(attempt.key)

    def _restrict(self, plan: Plan) -> Plan:
        """Let nobody begin anything more, in any thread, as soon as one plan isn't allowed."""
        try:
            return self._allow(plan)
        except NotPlannedError:
            self._halt.cancel()
            raise
