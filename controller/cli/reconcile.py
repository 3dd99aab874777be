"""`moorage reconcile`, also installed as `reconcile`: drives AWS to what the specs declare."""

from __future__ import annotations

import contextlib
import json
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from controller.cli import output, plan, render_events, render_status
from controller.cli.options import Files, Output, Place
from controller.cli.progress import Progress
from controller.core.status import Event
from controller.core.values import Key
from controller.errors import StoppedError, UsageError
from controller.runtime import prepare
from controller.runtime.compose import Site, open_sites
from controller.runtime.leased import acquire, keeping
from controller.runtime.once import Clock, Run, exit_code, run_once
from controller.spec.findings import FindingsError
from controller.spec.load import load
from controller.spec.units import parse_duration, parse_percent

# The embedded AWS finishes in seconds what takes AWS minutes.
_LOCAL_PACE = 0.1


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class How:
    """How a run behaves."""

    wait: Annotated[bool, Parameter(help="With --no-wait, one pass.")] = True
    prune: Annotated[bool, Parameter(help="Delete the ModelServices that no file declares any more.")] = False
    max_prune: Annotated[str, Parameter(help="The share of all known ModelServices that a run may delete.")] = "20%"
    timeout: Annotated[str, Parameter(help="Give up waiting after this long.")] = "30m"


def reconcile(
    *,
    once: Annotated[
        bool, Parameter(negative="", help="End when every spec is ready, failed, or waits for a person.")
    ] = False,
    dry_run: Annotated[bool, Parameter(negative="", help="Show the plan instead.")] = False,
    events: Annotated[Path | None, Parameter(help="Write every event to this file, as JSON lines.")] = None,
    how: How = How(),
    files: Files = Files(),
    place: Place = Place(),
    form: Output = "table",
) -> int:
    """Drive AWS to what the specs declare, and wait until it is there."""
    if dry_run:
        return plan.plan(files=files, place=place, form=form, prune=how.prune)
    if not once:
        raise UsageError("say how long to run", why="the continuous loop isn't offered yet", hint="reconcile --once")
    specs = load(files.file)
    data = prepare.read_data(specs)
    commit = prepare.commit_of(files.directory)
    progress, calls, total = Progress(output.console(stderr=True), time.monotonic), Counter[str](), Run()
    with _journal(events) as write, progress:

        def tell(event: Event) -> None:
            progress.event(event)
            write(render_events.data(event))

        with open_sites(specs, data, home=place.home, local=place.local, commit=commit, tell=tell) as sites:
            for site in sites:
                run = _run(site, how, progress, pace=_LOCAL_PACE if place.local else 1.0)
                total = Run((*total.statuses, *run.statuses), dict(Counter(total.steps) + Counter(run.steps)))
                calls.update(site.aws.calls.totals())
        write(total.summary(calls))
    output.emit(
        form,
        table=lambda wide: render_status.table(total.statuses, wide=wide),
        data=lambda: {
            "items": [render_status.as_object(status, None) for status in total.statuses],
            **total.summary(calls),
        },
        names=[render_status.name(status) for status in total.statuses],
    )
    return exit_code(total.statuses)


def _run(site: Site, how: How, progress: Progress, *, pace: float) -> Run:
    """Reconcile one environment."""
    gone = _prunable(site, _option("--max-prune", parse_percent, how.max_prune)) if how.prune else ()
    clock = Clock(time.monotonic, time.sleep)
    acquire(site.lease, clock)
    return run_once(
        lambda: site.reconciler.reconcile(site.wants, gone=gone),
        keeping(site.lease, clock),
        timeout=_option("--timeout", parse_duration, how.timeout),
        wait=how.wait,
        pace=pace,
        watch=lambda done: progress.passed(done.statuses),
    )


def _prunable(site: Site, most: float) -> Sequence[Key]:
    """What may be deleted since no file declares it. Raises StoppedError when that is more than a run may; one always may."""
    gone = site.gone()
    known = len(gone) + len(site.wants) - 1
    if len(gone) > 1 and len(gone) > most * known:
        raise StoppedError(
            f"{len(gone)} of {known} ModelServices would be deleted, more than --max-prune {most:.0%} allows",
            where=f"environment {site.environment}",
            why=", ".join(owner.name for owner in gone),
            hint="check the files, or allow more",
        )
    return gone


def _option(name: str, parse: Callable[[str], Any], text: str) -> Any:
    try:
        return parse(text)
    except FindingsError as error:
        finding = error.findings[0]
        raise UsageError(f"{name}: {finding.message}", hint=finding.hint) from error


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
