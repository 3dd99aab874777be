"""`moorage reconcile`, also installed as `reconcile`: change AWS until it matches the specs."""

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
    """How a run behaves, with and without --once."""

    wait: Annotated[bool, Parameter(help="Wait for AWS to finish; with --no-wait, make one pass and exit.")] = True
    prune: Annotated[bool, Parameter(help="Delete ModelServices that no file declares any more.")] = False
    max_prune: Annotated[str, Parameter(help="Maximum share of all known ModelServices that a run may delete.")] = "20%"
    timeout: Annotated[str, Parameter(help="With --once, stop waiting after this time.")] = "30m"
    parallel: Annotated[int, Parameter(help="Number of specs to reconcile at once.")] = 4

    @property
    def share(self) -> float:
        """The share of --max-prune, from 0 to 1. Raises UsageError when it isn't a percentage."""
        return float(parse_option("--max-prune", parse_percent, self.max_prune))


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class LoopArguments:
    """How the loop behaves; --once ignores these options."""

    interval: Annotated[
        str, Parameter(help="Reconcile every spec this often; less often if AWS's rate limits require it.")
    ] = "60s"
    grace: Annotated[str, Parameter(help="On SIGTERM, exit within this time.")] = "25s"
    hints: Annotated[
        str,
        Parameter(
            help="URL of an SQS queue with EventBridge events: reconcile at once the specs whose resources they name."
        ),
    ] = ""
    listen: Annotated[
        str, Parameter(help="HOST:PORT that serves /healthz, /readyz, /metrics and the push webhook.")
    ] = "127.0.0.1:9470"


def reconcile(
    *,
    once: Annotated[
        bool, Parameter(negative="", help="Exit when every spec is ready, failed or waiting for a person.")
    ] = False,
    dry_run: Annotated[bool, Parameter(negative="", help="Show the plan and change nothing.")] = False,
    plan: Annotated[
        Path | None,
        Parameter(help="With --once, apply the plan in this file, which plan --out wrote, and nothing else."),
    ] = None,
    events: Annotated[Path | None, Parameter(help="Write every event to this file as JSON lines.")] = None,
    how: RunArguments = RunArguments(),
    loop: LoopArguments = LoopArguments(),
    files: FileOptions = FileOptions(),
    remote: SourceOptions = SourceOptions(),
    place: BackendOptions = BackendOptions(),
    form: Output = "table",
) -> int:
    """Change AWS until it matches the specs. With --once, exit then; without it, keep AWS there until stopped."""
    if dry_run:
        return show_plan(files=files, remote=remote, place=place, form=form, prune=how.prune)
    if plan is not None and not once:
        raise UsageError("--plan needs --once", why="the loop never finishes a plan", hint="add --once")
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
    """Run until no work is in progress; with a saved plan, apply nothing beyond it."""
    snapshot = read_now(source)
    saved_plan = SavedPlan(planned) if planned else None
    if saved_plan and how.prune and not saved_plan.prune:
        raise UsageError(
            "--prune isn't part of the saved plan",
            why="the plan was made without --prune",
            hint="make it again with --prune, or leave --prune out",
        )
    progress, cancellation = Progress(console.console(stderr=True), time.monotonic), CancellationToken()
    with _open_event_file(events) as write, progress:
        sink = _EventFileSink(progress, write)
        with EnvironmentFactory(place.home, local=place.local, events=sink, cancellation=cancellation) as factory:
            total = _run_to_completion(
                factory,
                snapshot,
                how,
                saved_plan,
                cancellation=cancellation,
                pace=place.pace,
                on_progress=progress.on_pass,
            )
            summary = total.summary(factory.count_calls())
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
    """Run and return the result. With a saved plan, apply that plan or nothing.

    Raises UsageError or NotPlannedError when the saved plan isn't what the run would do now, StoppedError beyond
    --max-prune.
    """
    prune = saved_plan.prune if saved_plan else how.prune
    if saved_plan:
        saved_plan.verify_unchanged(plan_environments(factory, snapshot, prune=prune))
    opened = (factory.open_environment(snapshot, name) for name in snapshot.environments)
    options = RunOptions(
        timeout=parse_duration_option("--timeout", how.timeout),
        wait=how.wait,
        parallel=how.parallel,
        pace=pace,
        removed_specs=find_prunable(opened, how.share) if prune else (),
        restrict_plan=saved_plan.restrict if saved_plan else execute_whole_plan,
    )
    return run_once(factory, snapshot, cancellation, options, lambda run: on_progress(run.statuses))


def _loop(events: Path | None, how: RunArguments, loop: LoopArguments, source: Source, place: BackendOptions) -> int:
    """Run until stopped by SIGTERM or SIGINT."""
    configure_logging()
    host, _, port = loop.listen.rpartition(":")
    if not port.isdigit():
        raise UsageError(f"--listen: '{loop.listen}' isn't HOST:PORT", hint="for example 127.0.0.1:9470")
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

        def open_factory(cancellation: CancellationToken, metrics: Metrics) -> EnvironmentFactory:
            return EnvironmentFactory(
                place.home, local=place.local, events=sink, hooks=[metrics], cancellation=cancellation
            )

        finished = run_loop(open_factory, source, settings)
    if not finished:
        # A thread is still in a call to AWS; waiting for it would exceed the grace period.
        os._exit(0)
    return 0


@dataclass(frozen=True)
class _EventFileSink:
    """Shows each event and writes it to the events' file; a lock serialises the threads that emit events."""

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
    """Yield a function that writes one JSON line to the file, or does nothing without a path.

    Raises UsageError when the file can't be opened.
    """
    if path is None:
        yield lambda _: None
        return
    try:
        file = path.open("w", encoding="utf-8")
    except OSError as error:
        raise UsageError("the events file can't be written", where=str(path), why=error.strerror or "") from error
    with file:

        def write(line: Any) -> None:
            file.write(json.dumps(line, ensure_ascii=False) + "\n")
            file.flush()

        yield write
