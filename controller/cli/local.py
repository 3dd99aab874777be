"""`moorage local`: start, stop and inspect the embedded AWS of this machine."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from cyclopts import App, Parameter
from rich.text import Text

from controller import embedded
from controller.cli.options import BackendOptions, Output
from controller.cli.output import console
from controller.cli.output.columns import Cell, align_columns

app = App(name="local", help="Start, stop and inspect the embedded AWS.")


@app.command
def up(
    *,
    port: Annotated[int, Parameter(help="Port to listen on; 0 selects a free one.")] = 0,
    runner: Annotated[
        Literal["process", "docker"] | None,
        Parameter(help="Run each task as a process (default) or as a Docker container."),
    ] = None,
    weather: Annotated[
        str,
        Parameter(help="Behaviours of AWS to simulate, comma-separated: throttle, iam-delay, read-lag."),
    ] = "",
    place: BackendOptions = BackendOptions(),
    form: Output = "table",
) -> int:
    """Start the embedded AWS, unless it is running already."""
    return _show(embedded.up(place.home, port=port, runner=runner or "", weather=weather), form)


@app.command
def down(*, place: BackendOptions = BackendOptions(), form: Output = "table") -> int:
    """Stop the embedded AWS and all its tasks and training jobs."""
    return _show(embedded.down(place.home), form)


@app.command
def status(*, place: BackendOptions = BackendOptions(), form: Output = "table") -> int:
    """Show whether the embedded AWS is running, and its endpoint."""
    return _show(embedded.status(place.home), form)


def _show(found: embedded.ProgramStatus, form: Output) -> int:
    console.print_result(
        form, table=lambda _: _table(found), data=lambda: _data(found), names=[found.endpoint] * found.running
    )
    return 0


def _table(found: embedded.ProgramStatus) -> Text:
    if not found.running:
        return Text("not running")
    head: tuple[Cell, ...] = ("ENDPOINT", "PID", "STARTED", "LOG")
    return align_columns([head, (found.endpoint, str(found.pid), found.started, str(found.log))])


def _data(found: embedded.ProgramStatus) -> dict[str, Any]:
    where = {"endpoint": found.endpoint, "pid": found.pid, "started": found.started} if found.running else {}
    return {"running": found.running, **where, "log": str(found.log)}
