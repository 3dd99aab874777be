"""`reconcile` without `--once`: follows a source, keeps everything as it says, until told to end.

    source ──changes──▶ read ──▶ what is declared ──▶ queue ──▶ passes ──▶ AWS
    webhook, SQS ──hints──┘                             ▲
                                 resync, every interval ─┘

Every hint only says *look*. What can't be read leaves what was declared before in force, and every status says so.
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
from controller.errors import LeaseHeldError, MoorageError, SpecError
from controller.runtime.compose import House
from controller.runtime.halt import Halt
from controller.runtime.hints import follow, named_in, names_of, region_of
from controller.runtime.listen import Pages, listening
from controller.runtime.metrics import Metrics, result_of
from controller.runtime.passes import Outcome, Passes
from controller.runtime.prepare import Snapshot
from controller.runtime.prune import prunable
from controller.runtime.queue import Queue
from controller.runtime.source import Source
from controller.runtime.webhook import Webhook

# A pass that takes longer than this many seconds is stuck: no call to AWS takes a minute.
_STUCK = 1800.0
log = structlog.get_logger()


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How a loop behaves. Times are in seconds; `prune` is the share of models that may go, None for none; `hints` an SQS URL."""

    interval: float = 60.0
    grace: float = 25.0
    parallel: int = 4
    pace: float = 1.0
    prune: float | None = None
    host: str = "127.0.0.1"
    port: int = 9470
    webhook_secret: str = ""
    hints: str = ""


class Loop:
    """One controller at work on one source."""

    def __init__(self, house: House, source: Source, halt: Halt, metrics: Metrics, settings: Settings) -> None:
        self._house, self._source, self._halt, self._metrics, self._settings = house, source, halt, metrics, settings
        self._queue = Queue(time.monotonic, random.random, pace=settings.pace)
        self._passes = Passes(
            house.site,
            self._queue,
            halt,
            time.monotonic,
            parallel=settings.parallel,
            leases=lambda: house.leases,
            told=self._told,
        )
        self._changed = asyncio.Event()
        self._declared = ""
        self._standby = ""
        self._names: dict[str, Key] = {}
        metrics.watch(
            depth=lambda: self._queue.depth,
            failing=lambda: len(self._queue.failing),
            unsettled=lambda: len(self._queue.unsettled),
            leases=lambda: sum(lease.held for lease in house.leases),
        )

    async def run(self) -> bool:
        """Work until SIGTERM or SIGINT. True when everything under way was finished within the grace period.

        Raises UsageError when the address can't be listened on, and what is no MoorageError: a defect.
        """
        running = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            running.add_signal_handler(number, self._stop, signal.Signals(number).name)
        webhook = Webhook(self._settings.webhook_secret) if self._settings.webhook_secret else None
        pages = Pages(self._metrics, webhook, ill=self._ill, unready=self._unready, changed=self._changed.set)
        async with listening(pages.application(), self._settings.host, self._settings.port) as address:
            log.info("listening", address=address, source=self._source.name, webhook=webhook is not None)
            helpers = [asyncio.create_task(self._follow()), asyncio.create_task(self._watch())]
            helpers.append(asyncio.create_task(self._resync()))
            if self._settings.hints:
                helpers.append(asyncio.create_task(self._hear(self._settings.hints)))
            work = asyncio.create_task(self._passes.run())
            try:
                await asyncio.wait([work, *helpers], return_when=asyncio.FIRST_COMPLETED)
                failed = next((task for task in helpers if task.done()), None)
                if failed is not None:
                    self._stop("a defect")
                finished = await self._drained(work)
                if failed is not None:
                    failed.result()
                return finished
            finally:
                for task in helpers:
                    task.cancel()
                self._passes.close()

    def _stop(self, why: str) -> None:
        if self._halt.asked:
            self._halt.hurry()
            return
        log.info("stopping", why=why, grace=self._settings.grace)
        self._halt.ask()
        self._passes.wake()
        asyncio.get_running_loop().call_later(self._settings.grace / 2, self._halt.hurry)

    async def _drained(self, work: asyncio.Task[None]) -> bool:
        done, _ = await asyncio.wait([work], timeout=self._settings.grace)
        if done:
            work.result()
            log.info("stopped")
        else:
            log.warning("stopped in the middle of a call", hint="the next run finds out what became of it")
        return bool(done)

    async def _watch(self) -> None:
        await self._source.watch(self._changed.set)

    async def _hear(self, queue: str) -> None:
        door = cache(lambda: self._house.queue_door(region_of(queue)))
        await follow(door, queue, self._heard)

    def _heard(self, bodies: list[str]) -> None:
        for body in bodies:
            keys = named_in(body, self._names)
            self._metrics.hints.labels("queue", "woke" if keys else "ignored").inc()
            for key in keys:
                self._passes.hint(key)

    async def _follow(self) -> None:
        """Read the source whenever it may have something new."""
        while True:
            self._changed.clear()
            await self._read()
            await self._changed.wait()

    async def _read(self) -> None:
        try:
            snapshot = await self._source.read()
        except MoorageError as error:
            self._metrics.reads.labels("failed").inc()
            self._complain(error)
            return
        self._metrics.reads.labels("good").inc()
        if snapshot.digest == self._declared and not self._passes.trouble:
            return
        trouble: MoorageError | None = None
        gone: Collection[Key] = ()
        if self._settings.prune is not None:
            try:
                gone = await asyncio.to_thread(self._prunable, snapshot, self._settings.prune)
            except MoorageError as error:
                trouble = error
        self._declared = snapshot.digest
        self._passes.declare(snapshot, gone)
        self._names = {name: key for name, key in self._names.items() if key in self._passes.keys}
        self._metrics.keep(self._passes.keys)
        self._metrics.source.set(1)
        log.info("declared", commit=snapshot.commit, specs=len(snapshot.owners), gone=len(gone))
        if trouble is not None:
            self._complain(trouble)

    def _prunable(self, snapshot: Snapshot, most: float) -> list[Key]:
        return prunable((self._house.site(snapshot, name) for name in snapshot.environments), most)

    def _complain(self, error: MoorageError) -> None:
        """Let what was declared before stay in force, and every status say why."""
        self._metrics.source.set(0)
        trouble = f"{self._source.name}: {_short(error)}; what was declared before stays in force"
        if trouble != self._passes.trouble:
            log.error("source", error=str(error))
            self._passes.complain(trouble)

    async def _resync(self) -> None:
        """Look at everything from time to time: nobody tells of every change."""
        while True:
            interval = max(self._settings.interval, 2 * self._passes.reading)
            self._metrics.interval.set(interval)
            await asyncio.sleep(interval * (1 + random.random() / 10))  # noqa: S311  (no secret)
            self._passes.look()
            if self._passes.trouble:
                self._changed.set()

    def _told(self, outcome: Outcome) -> None:
        self._metrics.told(outcome)
        for status in outcome.done.statuses if outcome.done else ():
            self._names |= dict.fromkeys(names_of(status), status.owner)
        about = {"key": "/".join(outcome.key), "seconds": round(outcome.seconds, 3), "result": result_of(outcome)}
        held = isinstance(outcome.error, LeaseHeldError)
        if held and not self._standby:
            log.info("standby", why=str(outcome.error))
        self._standby = str(outcome.error) if held else ""
        if outcome.error is not None and not held:
            log.error("pass", **about, error=f"{type(outcome.error).__name__}: {outcome.error}")
        elif outcome.done is not None and outcome.done.completed_steps:
            log.info("pass", **about, steps=len(outcome.done.completed_steps))

    def _ill(self) -> str:
        oldest = self._passes.oldest
        return f"a pass has been at work for {oldest:.0f} s" if oldest > _STUCK else ""

    def _unready(self) -> str:
        if self._halt.asked:
            return "stopping"
        if not self._declared:
            return self._passes.trouble or "the source hasn't been read yet"
        return self._standby


def tell(event: Event) -> None:
    """Write an event to the log."""
    write = log.warning if event.type == "Warning" else log.info
    write("event", reason=event.reason, message=event.message, object=str(event.key or "/".join(event.owner)))


def run(open_house: Callable[[Halt, Metrics], House], source: Source, settings: Settings) -> bool:
    """Run a loop to its end; see `Loop.run`. The house is closed when everything was finished."""
    halt, metrics = Halt(), Metrics()
    house = open_house(halt, metrics)

    async def work() -> bool:
        return await Loop(house, source, halt, metrics, settings).run()

    finished = asyncio.run(work())
    if finished:
        house.__exit__()
    return finished


def _short(error: MoorageError) -> str:
    """The error in one line."""
    if isinstance(error, SpecError):
        first, *others = error.problems
        more = f", and {len(others)} more" if others else ""
        return f"{first.file}:{first.line}:{first.column}: {first.message}{more}"
    return str(error)
