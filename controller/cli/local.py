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


def _show(program: embedded.ProgramStatus, form: Output) -> int:
    console.print_result(
        form, table=lambda _: _table(program), data=lambda: _data(program), names=[program.endpoint] * program.running
    )
    return 0


def _table(program: embedded.ProgramStatus) -> Text:
    if not program.running:
        return Text("not running")
    head: tuple[Cell, ...] = ("ENDPOINT", "PID", "STARTED", "LOG")
    return align_columns([head, (program.endpoint, str(program.pid), program.started, str(program.log))])


def _data(program: embedded.ProgramStatus) -> dict[str, Any]:
    where = {"endpoint": program.endpoint, "pid": program.pid, "started": program.started} if program.running else {}
    return {"running": program.running, **where, "log": str(program.log)}
