"""`reconcile --once`: the same passes as the loop's, until everything is as it should be, failed, or waits for a person."""

from __future__ import annotations

import asyncio
import random
import signal
import time
from collections.abc import Callable, Iterable

from controller.core.plan import Plan
from controller.core.values import Key
from controller.errors import DeadlineError, NotPlannedError
from controller.runtime.compose import OpenSite
from controller.runtime.halt import Halt
from controller.runtime.once import Run
from controller.runtime.passes import Outcome, Passes
from controller.runtime.prepare import Snapshot
from controller.runtime.queue import Queue
from controller.store.lease import Lease


def run_once(
    open_site: OpenSite,
    snapshot: Snapshot,
    halt: Halt,
    *,
    gone: Iterable[Key] = (),
    timeout: float,
    wait: bool = True,
    parallel: int = 4,
    pace: float = 1.0,
    leases: Callable[[], Iterable[Lease]] = tuple,
    watch: Callable[[Run], None] = lambda _: None,
    allow: Callable[[Plan], Plan] = lambda plan: plan,
) -> Run:
    """Reconcile until nothing is under way any more; with `wait` false, one pass over each spec.

    `leases` are kept meanwhile; `watch` sees how things stand after every pass; `allow` gives what a
    pass may do of its plan, or raises NotPlannedError. Raises DeadlineError after `timeout` seconds, KeyboardInterrupt when
    asked to end, FailedError when the same steps are done over and over, and the first error that concerns more than a
    resource. What is under way is finished first.
    """
    once = _Once(open_site, halt, wait=wait, parallel=parallel, pace=pace, leases=leases, watch=watch, allow=allow)
    asyncio.run(once.settle(snapshot, gone, timeout))
    return once.result()


class _Once:
    """One run, on its way: what it came to so far, and what ended it before its time."""

    def __init__(
        self,
        open_site: OpenSite,
        halt: Halt,
        *,
        wait: bool,
        parallel: int,
        pace: float,
        leases: Callable[[], Iterable[Lease]],
        watch: Callable[[Run], None],
        allow: Callable[[Plan], Plan],
    ) -> None:
        self._halt, self._wait, self._watch, self._allow = halt, wait, watch, allow
        self._run, self._errors = Run(), list[BaseException]()
        self._queue = Queue(time.monotonic, random.random, pace=pace)
        self._passes = Passes(
            open_site,
            self._queue,
            halt,
            time.monotonic,
            parallel=parallel,
            leases=leases,
            told=self._told,
            allow=self._allowed,
        )

    async def settle(self, snapshot: Snapshot, gone: Iterable[Key], seconds: float) -> None:
        """Work until nothing is under way, or until something ends the run."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._stop, KeyboardInterrupt())
        late = DeadlineError(f"not done after {seconds:g} s", hint="run again to go on")
        loop.call_later(seconds, self._stop, late)
        self._passes.declare(snapshot, gone)
        try:
            await self._passes.run(settle=True)
        finally:
            self._passes.close()

    def result(self) -> Run:
        """What the run came to. Raises what ended it."""
        for error in self._errors:
            if isinstance(error, DeadlineError):
                error.why = self._run.waiting
            raise error
        return self._run

    def _stop(self, error: BaseException) -> None:
        self._errors.append(error)
        self._halt.ask()
        self._passes.wake()

    def _told(self, outcome: Outcome) -> None:
        if outcome.done is not None:
            self._run.add(outcome.key, outcome.done)
            self._watch(self._run)
        if outcome.error is not None and getattr(outcome.error, "retry_after", None) is None:
            self._stop(outcome.error)
        if not self._wait:
            self._queue.forget(outcome.key)

    def _allowed(self, plan: Plan) -> Plan:
        """Let nobody begin anything more, in any thread, as soon as one plan isn't allowed."""
        try:
            return self._allow(plan)
        except NotPlannedError:
            self._halt.ask()
            raise
