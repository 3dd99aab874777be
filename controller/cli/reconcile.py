"""`moorage reconcile`, also installed as `reconcile`: drives AWS to what the specs declare."""

from __future__ import annotations

import contextlib
import json
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from controller.aws.log import configure_logging
from controller.cli import github, output, render_events, render_status
from controller.cli.options import Files, Format, Output, Place, Remote, duration, parsed
from controller.cli.plan import plan as show_plan
from controller.cli.progress import Progress
from controller.cli.sources import open_source
from controller.core.status import Event, Status
from controller.errors import UsageError
from controller.runtime.compose import House
from controller.runtime.halt import Halt
from controller.runtime.loop import Settings, run
from controller.runtime.loop import tell as log_event
from controller.runtime.metrics import Metrics
from controller.runtime.once import Run, exit_code
from controller.runtime.plan_document import PlanDocument
from controller.runtime.planning import Promise, plan_all, read_plan
from controller.runtime.prepare import Snapshot
from controller.runtime.prune import prunable
from controller.runtime.settle import run_once
from controller.runtime.source import Source, read_now
from controller.spec.units import parse_percent


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class How:
    """How a run behaves."""

    wait: Annotated[bool, Parameter(help="With --no-wait, one pass.")] = True
    prune: Annotated[bool, Parameter(help="Delete the ModelServices that no file declares any more.")] = False
    max_prune: Annotated[str, Parameter(help="The share of all known ModelServices that a run may delete.")] = "20%"
    timeout: Annotated[str, Parameter(help="With --once, give up waiting after this long.")] = "30m"
    parallel: Annotated[int, Parameter(help="How many specs are worked on at once.")] = 4

    @property
    def share(self) -> float:
        """What --max-prune says."""
        return float(parsed("--max-prune", parse_percent, self.max_prune))


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Loop:
    """How the loop behaves, without --once."""

    interval: Annotated[
        str, Parameter(help="Look at everything this often; more rarely where AWS's rates ask for it.")
    ] = "60s"
    grace: Annotated[str, Parameter(help="On SIGTERM, end within this long.")] = "25s"
    hints: Annotated[
        str, Parameter(help="URL of an SQS queue that gets EventBridge's events: look at once at what they name.")
    ] = ""
    listen: Annotated[str, Parameter(help="HOST:PORT of /healthz, /readyz, /metrics and the push webhook.")] = (
        "127.0.0.1:9470"
    )


def reconcile(
    *,
    once: Annotated[
        bool, Parameter(negative="", help="End when every spec is ready, failed, or waits for a person.")
    ] = False,
    dry_run: Annotated[bool, Parameter(negative="", help="Show the plan instead.")] = False,
    plan: Annotated[
        Path | None,
        Parameter(help="With --once, carry out the plan in this file, as plan --out wrote it, and nothing else."),
    ] = None,
    events: Annotated[Path | None, Parameter(help="Write every event to this file, as JSON lines.")] = None,
    how: How = How(),
    loop: Loop = Loop(),
    files: Files = Files(),
    remote: Remote = Remote(),
    place: Place = Place(),
    form: Output = "table",
) -> int:
    """Drive AWS to what the specs declare. With --once, wait until it is there; without, keep it there until told to end."""
    if dry_run:
        return show_plan(files=files, remote=remote, place=place, form=form, prune=how.prune)
    if plan is not None and not once:
        raise UsageError("--plan goes with --once", why="a plan has an end")
    if not once:
        return _loop(
            events,
            how,
            loop,
            open_source(files, remote, place, interval=duration("--interval", loop.interval)),
            place,
        )
    planned = read_plan(plan) if plan else None
    return _once(how, open_source(files, remote, place), place, form, events=events, planned=planned)


def _once(
    how: How, source: Source, place: Place, form: Format, *, events: Path | None, planned: PlanDocument | None
) -> int:
    """Run until nothing is under way; where a plan was made before, no further than that."""
    snapshot = read_now(source)
    promise = Promise(planned) if planned else None
    if promise and how.prune and not promise.prune:
        raise UsageError("--prune isn't what was planned", hint="plan with --prune, too")
    progress, halt = Progress(output.console(stderr=True), time.monotonic), Halt()
    with _journal(events) as write, progress:
        tell = _teller(progress.event, write)
        with House(place.home, local=place.local, tell=tell, halt=halt) as house:
            total = _settled(house, snapshot, how, promise, halt=halt, pace=place.pace, watch=progress.passed)
            summary = total.summary(house.calls())
        write(summary)
    github.summarise(total.statuses, total.steps)
    output.emit(
        form,
        table=lambda wide: render_status.table(total.statuses, wide=wide),
        data=lambda: {"items": [render_status.as_object(status, None) for status in total.statuses], **summary},
        names=[render_status.name(status) for status in total.statuses],
    )
    return exit_code(total.statuses)


def _settled(
    house: House,
    snapshot: Snapshot,
    how: How,
    promise: Promise | None,
    *,
    halt: Halt,
    pace: float,
    watch: Callable[[Sequence[Status]], None],
) -> Run:
    """What the run came to; one that was promised does as it was planned, or nothing."""
    prune = promise.prune if promise else how.prune
    if promise:
        promise.hold(plan_all(house, snapshot, prune=prune))
    sites = (house.site(snapshot, name) for name in snapshot.environments)
    return run_once(
        house.site,
        snapshot,
        halt,
        gone=prunable(sites, how.share) if prune else (),
        timeout=duration("--timeout", how.timeout),
        wait=how.wait,
        parallel=how.parallel,
        pace=pace,
        leases=lambda: house.leases,
        watch=lambda run: watch(run.statuses),
        allow=promise.allow if promise else lambda plan: plan,
    )


def _loop(events: Path | None, how: How, loop: Loop, source: Source, place: Place) -> int:
    """Run until told to end."""
    configure_logging()
    host, _, port = loop.listen.rpartition(":")
    if not port.isdigit():
        raise UsageError(f"--listen: '{loop.listen}' isn't HOST:PORT", hint="127.0.0.1:9470")
    settings = Settings(
        interval=duration("--interval", loop.interval),
        grace=duration("--grace", loop.grace),
        parallel=how.parallel,
        pace=place.pace,
        prune=how.share if how.prune else None,
        host=host or "127.0.0.1",
        port=int(port),
        hints=loop.hints,
        webhook_secret=os.environ.get("MOORAGE_WEBHOOK_SECRET", ""),
    )
    with _journal(events) as write:
        tell = _teller(log_event, write)

        def open_house(halt: Halt, metrics: Metrics) -> House:
            return House(place.home, local=place.local, tell=tell, hooks=[metrics], halt=halt)

        finished = run(open_house, source, settings)
    if not finished:
        # A thread is in the middle of a call; waiting for it would outlast the grace period.
        os._exit(0)
    return 0


def _teller(say: Callable[[Event], None], write: Callable[[Any], None]) -> Callable[[Event], None]:
    """What says an event and writes it down; one at a time, as many threads have something to tell."""
    lock = threading.Lock()

    def tell(event: Event) -> None:
        with lock:
            say(event)
            write(render_events.data(event))

    return tell


@contextlib.contextmanager
def _journal(path: Path | None) -> Iterator[Callable[[Any], None]]:
    """Give what writes one JSON line to the file, or nowhere."""
    if path is None:
        yield lambda _: None
        return
    try:
        file = path.open("w", encoding="utf-8")
    except OSError as error:
        raise UsageError("the events' file can't be written", where=str(path), why=error.strerror or "") from error
    with file:

        def write(line: Any) -> None:
            file.write(json.dumps(line, ensure_ascii=False) + "\n")
            file.flush()

        yield write
