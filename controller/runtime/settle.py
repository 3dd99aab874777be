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
    run, errors = Run(), list[BaseException]()
    queue = Queue(time.monotonic, random.random, pace=pace)

    def stop(error: BaseException) -> None:
        errors.append(error)
        halt.ask()
        passes.wake()

    def told(outcome: Outcome) -> None:
        if outcome.done is not None:
            run.add(outcome.key, outcome.done)
            watch(run)
        if outcome.error is not None and getattr(outcome.error, "retry_after", None) is None:
            stop(outcome.error)
        if not wait:
            queue.forget(outcome.key)

    async def work() -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stop, KeyboardInterrupt())
        late = DeadlineError(f"not done after {timeout:g} s", hint="run again to go on")
        loop.call_later(timeout, stop, late)
        passes.declare(snapshot, gone)
        await passes.run(settle=True)

    passes = Passes(
        open_site, queue, halt, time.monotonic, parallel=parallel, leases=leases, told=told, allow=_or_halt(allow, halt)
    )
    try:
        asyncio.run(work())
    finally:
        passes.close()
    for error in errors:
        if isinstance(error, DeadlineError):
            error.why = run.waiting
        raise error
    return run


def _or_halt(allow: Callable[[Plan], Plan], halt: Halt) -> Callable[[Plan], Plan]:
    """Let nobody begin anything more, in any thread, as soon as one plan isn't allowed."""

    def allowed(plan: Plan) -> Plan:
        try:
            return allow(plan)
        except NotPlannedError:
            halt.ask()
            raise

    return allowed
