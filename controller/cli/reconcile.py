"""`moorage reconcile`, also installed as `reconcile`: drives AWS to what the specs declare."""

from __future__ import annotations

import contextlib
import json
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from controller.aws.log import configure_logging
from controller.cli.options import (
    BackendOptions,
    FileOptions,
    Format,
    Output,
    SourceOptions,
    parse_duration_option,
    parse_option,
)
from controller.cli.output import console, event_view, github_actions, status_view
from controller.cli.output.progress_view import Progress
from controller.cli.plan import plan as show_plan
from controller.cli.sources import open_source
from controller.core.status import Event, EventSink, Status
from controller.engine.dispatcher import execute_whole_plan
from controller.engine.loop import EventLog, LoopSettings, run_loop
from controller.engine.metrics import Metrics
from controller.engine.run_once import RunOptions, run_once
from controller.engine.run_result import RunResult, exit_code
from controller.environments.cancellation import CancellationToken
from controller.environments.factory import EnvironmentFactory
from controller.errors import UsageError
from controller.planning.plan_document import PlanDocument
from controller.planning.prune_limit import find_prunable
from controller.planning.saved_plan import SavedPlan, plan_environments, read_saved_plan
from controller.sources.snapshots import Snapshot
from controller.sources.source import Source, read_now
from controller.spec.units import parse_percent


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class RunArguments:
    """How a run behaves."""

    wait: Annotated[bool, Parameter(help="With --no-wait, one pass.")] = True
    prune: Annotated[bool, Parameter(help="Delete the ModelServices that no file declares any more.")] = False
    max_prune: Annotated[str, Parameter(help="The share of all known ModelServices that a run may delete.")] = "20%"
    timeout: Annotated[str, Parameter(help="With --once, give up waiting after this long.")] = "30m"
    parallel: Annotated[int, Parameter(help="How many specs are worked on at once.")] = 4

    @property
    def share(self) -> float:
        """What --max-prune says."""
        return float(parse_option("--max-prune", parse_percent, self.max_prune))


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class LoopArguments:
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
    how: RunArguments = RunArguments(),
    loop: LoopArguments = LoopArguments(),
    files: FileOptions = FileOptions(),
    remote: SourceOptions = SourceOptions(),
    place: BackendOptions = BackendOptions(),
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
            open_source(files, remote, place, interval=parse_duration_option("--interval", loop.interval)),
            place,
        )
    planned = read_saved_plan(plan) if plan else None
    return _once(how, open_source(files, remote, place), place, form, events=events, planned=planned)


def _once(
    how: RunArguments,
    source: Source,
    place: BackendOptions,
    form: Format,
    *,
    events: Path | None,
    planned: PlanDocument | None,
) -> int:
    """Run until nothing is under way; where a plan was made before, no further than that."""
    snapshot = read_now(source)
    promise = SavedPlan(planned) if planned else None
    if promise and how.prune and not promise.prune:
        raise UsageError("--prune isn't what was planned", hint="plan with --prune, too")
    progress, halt = Progress(console.console(stderr=True), time.monotonic), CancellationToken()
    with _open_event_file(events) as write, progress:
        sink = _EventFileSink(progress, write)
        with EnvironmentFactory(place.home, local=place.local, events=sink, cancellation=halt) as house:
            total = _run_to_completion(
                house, snapshot, how, promise, cancellation=halt, pace=place.pace, on_progress=progress.on_pass
            )
            summary = total.summary(house.count_calls())
        write(summary)
    github_actions.write_summary(total.statuses, total.steps)
    console.print_result(
        form,
        table=lambda wide: status_view.status_table(total.statuses, wide=wide),
        data=lambda: {"items": [status_view.status_object(status, None) for status in total.statuses], **summary},
        names=[status_view.resource_name(status) for status in total.statuses],
    )
    return exit_code(total.statuses)


def _run_to_completion(
    factory: EnvironmentFactory,
    snapshot: Snapshot,
    how: RunArguments,
    saved_plan: SavedPlan | None,
    *,
    cancellation: CancellationToken,
    pace: float,
    on_progress: Callable[[Sequence[Status]], None],
) -> RunResult:
    """What the run came to; one that was promised does as it was planned, or nothing."""
    prune = saved_plan.prune if saved_plan else how.prune
    if saved_plan:
        saved_plan.verify_unchanged(plan_environments(factory, snapshot, prune=prune))
    sites = (factory.open_environment(snapshot, name) for name in snapshot.environments)
    options = RunOptions(
        timeout=parse_duration_option("--timeout", how.timeout),
        wait=how.wait,
        parallel=how.parallel,
        pace=pace,
        removed_specs=find_prunable(sites, how.share) if prune else (),
        restrict_plan=saved_plan.restrict if saved_plan else execute_whole_plan,
    )
    return run_once(factory, snapshot, cancellation, options, lambda run: on_progress(run.statuses))


def _loop(events: Path | None, how: RunArguments, loop: LoopArguments, source: Source, place: BackendOptions) -> int:
    """Run until told to end."""
    configure_logging()
    host, _, port = loop.listen.rpartition(":")
    if not port.isdigit():
        raise UsageError(f"--listen: '{loop.listen}' isn't HOST:PORT", hint="127.0.0.1:9470")
    settings = LoopSettings(
        interval=parse_duration_option("--interval", loop.interval),
        grace=parse_duration_option("--grace", loop.grace),
        parallel=how.parallel,
        pace=place.pace,
        max_prune=how.share if how.prune else None,
        host=host or "127.0.0.1",
        port=int(port),
        hints=loop.hints,
        webhook_secret=os.environ.get("MOORAGE_WEBHOOK_SECRET", ""),
    )
    with _open_event_file(events) as write:
        sink = _EventFileSink(EventLog(), write)

        def open_house(halt: CancellationToken, metrics: Metrics) -> EnvironmentFactory:
            return EnvironmentFactory(place.home, local=place.local, events=sink, hooks=[metrics], cancellation=halt)

        finished = run_loop(open_house, source, settings)
    if not finished:
        # A thread is in the middle of a call; waiting for it would outlast the grace period.
        os._exit(0)
    return 0


@dataclass(frozen=True)
class _EventFileSink:
    """Shows each event and writes it to the events' file; one at a time, because many threads emit events."""

    shown: EventSink
    write: Callable[[Any], None]
    lock: threading.Lock = field(default_factory=threading.Lock)

    def emit(self, event: Event) -> None:
        """Show and write one event."""
        with self.lock:
            self.shown.emit(event)
            self.write(event_view.event_data(event))


@contextlib.contextmanager
def _open_event_file(path: Path | None) -> Iterator[Callable[[Any], None]]:
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
