"""What the controller remembers, and the protocol of its backends.

A lost store loses history and the memory of dropped fields, never ownership: that is in the tags of the AWS objects.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Protocol

from controller.core.record import Record
from controller.core.status import Event, Status
from controller.core.values import Key

MAX_EVENTS = 10_000


class Store(Protocol):
    """Records, statuses and events. Any thread may call every method.

    A write survives the process once its call has returned; an event may do so a little later. A record with something
    pending is durable by then. A power cut may undo the last of the other writes, and nothing that preceded a pending
    one.

    Raises StoreError (of `controller.errors`) if the backend can't be read or written.
    """

    def refresh(self) -> None:
        """Read what other processes may have written: later results are no older than this call."""

    def list_records(self, environment: str, owners: Collection[Key] | None = None) -> Collection[Record]:
        """Return every record of an environment, or those of some specs, in the order they were first stored."""

    def get_record(self, id_: str) -> Record | None:
        """Return the record with this id; None if there is none."""

    def put_record(self, record: Record) -> None:
        """Insert or replace the record with this id."""

    def delete_record(self, record: Record) -> None:
        """Delete the record with this id; fine if there is none."""

    def get_status(self, owner: Key) -> Status | None:
        """Return the last saved status of a spec; None if there is none."""

    def list_statuses(self, environment: str) -> Collection[Status]:
        """Return the last saved statuses of an environment, by kind and name."""

    def save_status(self, status: Status) -> None:
        """Insert or replace a spec's status."""

    def delete_status(self, owner: Key) -> None:
        """Delete a spec's status; its events stay."""

    def emit(self, event: Event) -> None:
        """Append an event; the oldest beyond the store's limit are dropped."""

    def list_events(self, owner: Key | None = None, *, limit: int = 100) -> Collection[Event]:
        """Return the newest events, oldest first; of one spec, or of all."""

    def close(self) -> None:
        """Release files and connections."""
