"""`moorage reconcile`, also installed as `reconcile`: drives AWS to what the specs declare."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from controller.cli import output, plan, render_events, render_status
from controller.cli.options import Files, Output, Place
from controller.cli.progress import Progress
from controller.core.status import Event
from controller.errors import UsageError
from controller.runtime import prepare
from controller.runtime.compose import House
from controller.runtime.halt import Halt
from controller.runtime.once import exit_code
from controller.runtime.prune import prunable
from controller.runtime.settle import run_once
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
    timeout: Annotated[str, Parameter(help="With --once, give up waiting after this long.")] = "30m"
    parallel: Annotated[int, Parameter(help="How many specs are worked on at once.")] = 4

    @property
    def share(self) -> float:
        """What --max-prune says."""
        return float(_option("--max-prune", parse_percent, self.max_prune))


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
    snapshot = prepare.snapshot_of(load(files.file), prepare.commit_of(files.directory))
    progress, lock, halt = Progress(output.console(stderr=True), time.monotonic), threading.Lock(), Halt()
    with _journal(events) as write, progress:

        def tell(event: Event) -> None:
            with lock:
                progress.event(event)
                write(render_events.data(event))

        with House(place.home, local=place.local, tell=tell, halt=halt) as house:
            total = run_once(
                house.site,
                snapshot,
                halt,
                gone=prunable((house.site(snapshot, name) for name in snapshot.environments), how.share)
                if how.prune
                else (),
                timeout=_option("--timeout", parse_duration, how.timeout),
                wait=how.wait,
                parallel=how.parallel,
                pace=_LOCAL_PACE if place.local else 1.0,
                leases=lambda: house.leases,
                watch=lambda run: progress.passed(run.statuses),
            )
            summary = total.summary(house.calls())
        write(summary)
    output.emit(
        form,
        table=lambda wide: render_status.table(total.statuses, wide=wide),
        data=lambda: {
            "items": [render_status.as_object(status, None) for status in total.statuses],
            **summary,
        },
        names=[render_status.name(status) for status in total.statuses],
    )
    return exit_code(total.statuses)


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
