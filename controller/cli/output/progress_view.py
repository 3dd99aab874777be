"""Show the progress of a run: a live tree on a terminal, else a line for each event and a heartbeat."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.live import Live
from rich.text import Text
from rich.tree import Tree

from controller.cli.output import event_view
from controller.cli.output.columns import style_status
from controller.core.status import Event, Status

_HEARTBEAT = 30.0  # seconds without output before a heartbeat line


class Progress:
    """Progress output of a run, to use as a context manager. `clock` is monotonic, in seconds."""

    def __init__(self, console: Console, clock: Callable[[], float]) -> None:
        self._console, self._clock = console, clock
        self._live = Live(console=console, auto_refresh=False, transient=True) if console.is_terminal else None
        self._last_output = clock()

    def emit(self, event: Event) -> None:
        """Print a line for an event."""
        self._print(event_view.event_line(event))

    def on_pass(self, statuses: Sequence[Status]) -> None:
        """Update the tree after a pass, or print a heartbeat after 30 s without output."""
        if self._live is not None:
            self._live.update(render_tree(statuses), refresh=True)
        elif self._clock() - self._last_output >= _HEARTBEAT:
            self._print(Text(heartbeat(statuses)))

    def _print(self, line: Text) -> None:
        self._last_output = self._clock()
        self._console.print(line, soft_wrap=True)

    def __enter__(self) -> Self:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()


def render_tree(statuses: Sequence[Status]) -> Tree:
    """Render each spec with its resources that aren't ready yet."""
    root = Tree("reconciling", hide_root=True)
    for status in statuses:
        ready = status.find_condition("Ready")
        branch = root.add(
            Text.assemble((status.owner.name, "bold"), "  ", style_status(ready.reason if ready else "Unknown"))
        )
        for state in status.resources:
            if state.state != "Ready":
                branch.add(Text.assemble(f"{state.key.kind}  ", style_status(state.state), f"  {state.message}"))
    return root


def heartbeat(statuses: Sequence[Status]) -> str:
    """Return one line that names the specs that aren't ready, and what each waits for."""
    waiting = []
    for status in statuses:
        ready = status.find_condition("Ready")
        if ready is not None and ready.status != "True":
            waiting.append(f"{status.owner.name}: {ready.message or ready.reason}")
    return f"still in progress: {'; '.join(waiting)}" if waiting else "still in progress"
