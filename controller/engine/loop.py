"""`reconcile` without `--once`: follow a source and keep AWS as it declares, until a signal ends the process.

    source ──changes──▶ read ──▶ declared specs ──▶ queue ──▶ passes ──▶ AWS
    webhook, SQS ──hints──┘                          ▲
                              resync, every interval ─┘

A hint only triggers a read. If the source can't be read, the specs declared before stay in force, and every status says
so.
"""

from __future__ import annotations

import asyncio
import random
import signal
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import cache

import structlog

from controller.core.status import Event
from controller.core.values import Key
from controller.engine.dispatcher import Dispatcher, PassAttempt
from controller.engine.endpoints import HttpEndpoints, serve
from controller.engine.hints import find_named_keys, iter_aws_names, parse_region, poll_queue
from controller.engine.metrics import Metrics, result_of
from controller.engine.webhook import Webhook
from controller.engine.work_queue import Queue
from controller.environments.cancellation import CancellationToken
from controller.environments.factory import EnvironmentFactory
from controller.errors import LeaseHeldError, MoorageError, SpecError
from controller.planning.prune_limit import find_prunable
from controller.sources.snapshots import Snapshot
from controller.sources.source import Source

# A pass longer than this many seconds is stuck: no call to AWS takes a minute.
_STUCK_SECONDS = 1800.0
log = structlog.get_logger()


@dataclass(frozen=True, kw_only=True)
class LoopSettings:
    """How a loop behaves. Times are in seconds.

    `max_prune` is the largest share of the models that may be pruned at once; None prunes none. `hints` is the URL of
    an SQS queue.
    """

    interval: float = 60.0
    grace: float = 25.0
    parallel: int = 4
    pace: float = 1.0
    max_prune: float | None = None
    host: str = "127.0.0.1"
    port: int = 9470
    webhook_secret: str = ""
    hints: str = ""


class ControlLoop:
    """One controller that follows one source."""

    def __init__(
        self,
        factory: EnvironmentFactory,
        source: Source,
        cancellation: CancellationToken,
        metrics: Metrics,
        settings: LoopSettings,
    ) -> None:
        self._factory, self._source, self._cancellation, self._metrics, self._settings = (
            factory,
            source,
            cancellation,
            metrics,
            settings,
        )
        self._queue = Queue(time.monotonic, random.random, pace=settings.pace)
        self._dispatcher = Dispatcher(
            factory, self._queue, cancellation, parallel=settings.parallel, on_attempt=self._on_attempt
        )
        self._changed = asyncio.Event()
        self._declared = ""
        self._standby = ""
        self._names: dict[str, Key] = {}
        metrics.register_gauges(
            depth=lambda: self._queue.depth,
            failing=lambda: len(self._queue.failing),
            unsettled=lambda: len(self._queue.unsettled),
            leases=lambda: sum(lease.held for lease in factory.leases),
        )

    async def run(self) -> bool:
        """Work until SIGTERM or SIGINT. Return whether all work in progress was finished within the grace period.

        Raises UsageError if the process can't listen on the address, and re-raises any defect of a background task.
        """
        running = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            running.add_signal_handler(number, self._stop, signal.Signals(number).name)
        webhook = Webhook(self._settings.webhook_secret) if self._settings.webhook_secret else None
        endpoints = HttpEndpoints(
            self._metrics,
            webhook,
            liveness_problem=self._liveness_problem,
            readiness_problem=self._readiness_problem,
            on_push=self._changed.set,
        )
        async with serve(endpoints.application(), self._settings.host, self._settings.port) as address:
            log.info("listening", address=address, source=self._source.name, webhook=webhook is not None)
            background = [asyncio.create_task(self._follow_source()), asyncio.create_task(self._watch_source())]
            background.append(asyncio.create_task(self._resync()))
            if self._settings.hints:
                background.append(asyncio.create_task(self._follow_hints(self._settings.hints)))
            work = asyncio.create_task(self._dispatcher.run())
            try:
                await asyncio.wait([work, *background], return_when=asyncio.FIRST_COMPLETED)
                failed = next((task for task in background if task.done()), None)
                if failed is not None:
                    self._stop("a defect")
                finished = await self._drain(work)
                if failed is not None:
                    failed.result()
                return finished
            finally:
                for task in background:
                    task.cancel()
                self._dispatcher.close()

    def _stop(self, why: str) -> None:
        if self._cancellation.is_cancelled:
            self._cancellation.abort()
            return
        log.info("stopping", why=why, grace=self._settings.grace)
        self._cancellation.cancel()
        self._dispatcher.wake()
        asyncio.get_running_loop().call_later(self._settings.grace / 2, self._cancellation.abort)

    async def _drain(self, work: asyncio.Task[None]) -> bool:
        done, _ = await asyncio.wait([work], timeout=self._settings.grace)
        if done:
            work.result()
            log.info("stopped")
        else:
            log.warning("stopped in the middle of a call", hint="the next run reads its outcome from AWS")
        return bool(done)

    async def _watch_source(self) -> None:
        await self._source.watch(self._changed.set)

    async def _follow_hints(self, queue: str) -> None:
        open_client = cache(lambda: self._factory.queue_client(parse_region(queue)))
        await poll_queue(open_client, queue, self._on_hints)

    def _on_hints(self, bodies: list[str]) -> None:
        for body in bodies:
            keys = find_named_keys(body, self._names)
            self._metrics.hints.labels("queue", "woke" if keys else "ignored").inc()
            for key in keys:
                self._dispatcher.hint(key)

    async def _follow_source(self) -> None:
        """Read the source whenever it may have changed."""
        while True:
            self._changed.clear()
            await self._read_source()
            await self._changed.wait()

    async def _read_source(self) -> None:
        try:
            snapshot = await self._source.read()
        except MoorageError as error:
            self._metrics.reads.labels("failed").inc()
            self._report_source_error(error)
            return
        self._metrics.reads.labels("good").inc()
        if snapshot.digest == self._declared and not self._dispatcher.source_error:
            return
        prune_error: MoorageError | None = None
        removed_specs: Collection[Key] = ()
        if self._settings.max_prune is not None:
            try:
                removed_specs = await asyncio.to_thread(self._find_prunable, snapshot, self._settings.max_prune)
            except MoorageError as error:
                prune_error = error
        self._declared = snapshot.digest
        self._dispatcher.declare(snapshot, removed_specs)
        self._names = {name: key for name, key in self._names.items() if key in self._dispatcher.keys}
        self._metrics.keep_specs(self._dispatcher.keys)
        self._metrics.source.set(1)
        log.info("declared", commit=snapshot.commit, specs=len(snapshot.owners), gone=len(removed_specs))
        if prune_error is not None:
            self._report_source_error(prune_error)

    def _find_prunable(self, snapshot: Snapshot, max_prune: float) -> list[Key]:
        return find_prunable(
            (self._factory.open_environment(snapshot, name) for name in snapshot.environments), max_prune
        )

    def _report_source_error(self, error: MoorageError) -> None:
        """Keep the declared specs in force, and make every status say why."""
        self._metrics.source.set(0)
        message = f"{self._source.name}: {_summarize_error(error)}; the specs declared before stay in force"
        if message != self._dispatcher.source_error:
            log.error("source", error=str(error))
            self._dispatcher.report_source_error(message)

    async def _resync(self) -> None:
        """Make every key due at intervals: no event reports every change."""
        while True:
            interval = max(self._settings.interval, 2 * self._dispatcher.survey_seconds)
            self._metrics.interval.set(interval)
            await asyncio.sleep(interval * (1 + random.random() / 10))  # noqa: S311  (no secret)
            self._dispatcher.enqueue_all()
            if self._dispatcher.source_error:
                self._changed.set()

    def _on_attempt(self, attempt: PassAttempt) -> None:
        self._metrics.record_attempt(attempt)
        for status in attempt.result.statuses if attempt.result else ():
            self._names |= dict.fromkeys(iter_aws_names(status), status.owner)
        about = {"key": "/".join(attempt.key), "seconds": round(attempt.seconds, 3), "result": result_of(attempt)}
        held = isinstance(attempt.error, LeaseHeldError)
        if held and not self._standby:
            log.info("standby", why=str(attempt.error))
        self._standby = str(attempt.error) if held else ""
        if attempt.error is not None and not held:
            log.error("pass", **about, error=f"{type(attempt.error).__name__}: {attempt.error}")
        elif attempt.result is not None and attempt.result.completed_steps:
            log.info("pass", **about, steps=len(attempt.result.completed_steps))

    def _liveness_problem(self) -> str:
        oldest = self._dispatcher.oldest_pass_seconds
        return f"a pass has run for {oldest:.0f} s" if oldest > _STUCK_SECONDS else ""

    def _readiness_problem(self) -> str:
        if self._cancellation.is_cancelled:
            return "stopping"
        if not self._declared:
            return self._dispatcher.source_error or "the source hasn't been read yet"
        return self._standby


class EventLog:
    """An EventSink that writes events to the log."""

    def emit(self, event: Event) -> None:
        """Write one event, a warning at level `warning`."""
        write = log.warning if event.type == "Warning" else log.info
        write("event", reason=event.reason, message=event.message, object=str(event.key or "/".join(event.owner)))


def run_loop(
    open_factory: Callable[[CancellationToken, Metrics], EnvironmentFactory], source: Source, settings: LoopSettings
) -> bool:
    """Run a loop to its end and return whether all work was finished; if so, the factory is closed.

    See `ControlLoop.run`.
    """
    cancellation, metrics = CancellationToken(), Metrics()
    factory = open_factory(cancellation, metrics)

    async def work() -> bool:
        return await ControlLoop(factory, source, cancellation, metrics, settings).run()

    finished = asyncio.run(work())
    if finished:
        factory.__exit__()
    return finished


def _summarize_error(error: MoorageError) -> str:
    """Return the error in one line."""
    if isinstance(error, SpecError):
        first, *others = error.problems
        more = f", and {len(others)} more" if others else ""
        return f"{first.file}:{first.line}:{first.column}: {first.message}{more}"
    return str(error)
