"""Render events as lines and as JSON. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.text import Text

from controller.cli.output.columns import Cell, align_columns, style_status
from controller.core.status import Event


def event_lines(events: Sequence[Event]) -> Text:
    """Render one line for each event, in the given order."""
    head: tuple[Cell, ...] = ("TIME", "TYPE", "REASON", "OBJECT", "MESSAGE")
    return align_columns(
        [head, *((e.time, style_status(e.type), e.reason, event_subject(e), e.message) for e in events)]
    )


def event_line(event: Event) -> Text:
    """Render one event as a progress line: `ecs/service housing-model  Created  …`."""
    style = "red" if event.type == "Warning" else "green"
    return (
        Text(f"{event_subject(event)}  ")
        .append(event.reason, style)
        .append(f"  {event.message}" if event.message else "")
    )


def event_data(event: Event) -> dict[str, Any]:
    """Return an event as JSON."""
    return {
        "time": event.time,
        "type": event.type,
        "reason": event.reason,
        "message": event.message,
        "environment": event.owner.environment,
        "kind": event.owner.kind,
        "name": event.owner.name,
        "resource": str(event.key) if event.key else None,
    }


def event_subject(event: Event) -> str:
    """Return the subject of an event: its resource, or else its spec."""
    return str(event.key) if event.key else f"{event.owner.kind} {event.owner.name}"
