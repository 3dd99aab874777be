"""A store that lives as long as the process: for tests, and for plans that need no store."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Collection

from controller.core.record import Record
from controller.core.status import Event, Status
from controller.core.values import Key
from controller.store import documents
from controller.store.base import MAX_EVENTS


class MemoryStore:
    """Keeps texts, as every store does, so that callers can't change what is stored."""

    def __init__(self, *, max_events: int = MAX_EVENTS) -> None:
        self._lock = threading.Lock()
        self._records: dict[str, tuple[str, str]] = {}
        self._statuses: dict[Key, str] = {}
        self._events: deque[tuple[Key, str]] = deque(maxlen=max_events)

    def refresh(self) -> None:
        """Do nothing: no other process writes here."""

    def list_records(self, environment: str, owners: Collection[Key] | None = None) -> Collection[Record]:
        """Return every record of an environment, or those of some specs, in the order they were first stored."""
        with self._lock:
            texts = [text for where, text in self._records.values() if where == environment]
        found = map(documents.parse_record, texts)
        return [record for record in found if owners is None or record.owner in owners]

    def get_record(self, id_: str) -> Record | None:
        """Return the record with this id; None if there is none."""
        with self._lock:
            _, text = self._records.get(id_, ("", None))
        return None if text is None else documents.parse_record(text)

    def put_record(self, record: Record) -> None:
        """Insert or replace the record with this id."""
        with self._lock:
            self._records[record.id] = record.key.environment, documents.serialize_record(record)

    def delete_record(self, record: Record) -> None:
        """Delete the record with this id; fine if there is none."""
        with self._lock:
            self._records.pop(record.id, None)

    def get_status(self, owner: Key) -> Status | None:
        """Return the last saved status of a spec; None if there is none."""
        with self._lock:
            text = self._statuses.get(owner)
        return None if text is None else documents.parse_status(text)

    def list_statuses(self, environment: str) -> Collection[Status]:
        """Return the last saved statuses of an environment, by kind and name."""
        with self._lock:
            texts = [text for owner, text in sorted(self._statuses.items()) if owner.environment == environment]
        return [documents.parse_status(text) for text in texts]

    def save_status(self, status: Status) -> None:
        """Insert or replace a spec's status."""
        with self._lock:
            self._statuses[status.owner] = documents.serialize_status(status)

    def delete_status(self, owner: Key) -> None:
        """Delete a spec's status; its events stay."""
        with self._lock:
            self._statuses.pop(owner, None)

    def emit(self, event: Event) -> None:
        """Append an event; the oldest beyond the limit are dropped."""
        with self._lock:
            self._events.append((event.owner, documents.serialize_event(event)))

    def list_events(self, owner: Key | None = None, *, limit: int = 100) -> Collection[Event]:
        """Return the newest events, oldest first; of one spec, or of all."""
        with self._lock:
            texts = [text for whose, text in self._events if owner is None or whose == owner]
        return [documents.parse_event(text) for text in texts[len(texts) - min(limit, len(texts)) :]]

    def close(self) -> None:
        """Do nothing: there is nothing to release."""
