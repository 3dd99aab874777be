"""An EventSink that keeps events for assertions."""

from __future__ import annotations

from dataclasses import dataclass

from controller.core.status import Event


@dataclass(frozen=True)
class EventRecorder:
    """Appends each event to `events`."""

    events: list[Event]

    def emit(self, event: Event) -> None:
        """Append the event."""
        self.events.append(event)
