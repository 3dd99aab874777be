"""A store that lives as long as the process: tests, and plans that nobody wants to keep."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Collection

from controller.core.record import Record
from controller.core.status import Event, Status
from controller.core.values import Key
from controller.store import documents
from controller.store.base import EVENTS_KEPT


class MemoryStore:
    """Keeps texts, as every store does, so that nothing handed in or out can be changed from outside."""

    def __init__(self, *, events_kept: int = EVENTS_KEPT) -> None:
        self._lock = threading.Lock()
        self._records: dict[str, tuple[str, str]] = {}
        self._statuses: dict[Key, str] = {}
        self._events: deque[tuple[Key, str]] = deque(maxlen=events_kept)

    def refresh(self) -> None:
        """Nothing to do: no other process writes here."""

    def records(self, environment: str, owners: Collection[Key] | None = None) -> Collection[Record]:
        """Every record of an environment, or those of some specs, in the order they were first put."""
        with self._lock:
            texts = [text for where, text in self._records.values() if where == environment]
        found = map(documents.record_from, texts)
        return [record for record in found if owners is None or record.owner in owners]

    def record(self, id_: str) -> Record | None:
        """The record with this id."""
        with self._lock:
            _, text = self._records.get(id_, ("", None))
        return None if text is None else documents.record_from(text)

    def put(self, record: Record) -> None:
        """Insert or replace the record with this id."""
        with self._lock:
            self._records[record.id] = record.key.environment, documents.record_text(record)

    def drop(self, record: Record) -> None:
        """Forget the record with this id; fine if it isn't there."""
        with self._lock:
            self._records.pop(record.id, None)

    def status(self, owner: Key) -> Status | None:
        """The last saved status of a spec."""
        with self._lock:
            text = self._statuses.get(owner)
        return None if text is None else documents.status_from(text)

    def statuses(self, environment: str) -> Collection[Status]:
        """The last saved statuses of an environment, by kind and name."""
        with self._lock:
            texts = [text for owner, text in sorted(self._statuses.items()) if owner.environment == environment]
        return [documents.status_from(text) for text in texts]

    def save(self, status: Status) -> None:
        """Insert or replace a spec's status."""
        with self._lock:
            self._statuses[status.owner] = documents.status_text(status)

    def forget(self, owner: Key) -> None:
        """Remove a spec's status; its events stay."""
        with self._lock:
            self._statuses.pop(owner, None)

    def emit(self, event: Event) -> None:
        """Append an event; the oldest beyond the limit go."""
        with self._lock:
            self._events.append((event.owner, documents.event_text(event)))

    def events(self, owner: Key | None = None, *, limit: int = 100) -> Collection[Event]:
        """The newest events, oldest first; of one spec, or of all."""
        with self._lock:
            texts = [text for whose, text in self._events if owner is None or whose == owner]
        return [documents.event_from(text) for text in texts[len(texts) - min(limit, len(texts)) :]]

    def close(self) -> None:
        """Nothing to release."""
