"""What the controller remembers, and the protocol each home of it follows.

Losing a store loses history and the memory of dropped fields, never ownership: that is written on the AWS objects.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Protocol

from controller.core.record import Record
from controller.core.status import Event, Status
from controller.core.values import Key

MAX_EVENTS = 10_000


class Store(Protocol):
    """Records, statuses and events. Every call may come from any thread.

    A write outlives the process once its call has returned; an event may do so a little later. A record with something
    pending is durable by then; what a power cut may take back of other writes is the last of them, and nothing that came
    before a pending one.

    Raises StoreError (of `controller.errors`) when the home can't be read or written.
    """

    def refresh(self) -> None:
        """Read anew what other processes may have written: what is answered from now on is no older than this call."""

    def list_records(self, environment: str, owners: Collection[Key] | None = None) -> Collection[Record]:
        """Every record of an environment, or those of some specs, in the order they were first put."""

    def get_record(self, id_: str) -> Record | None:
        """The record with this id."""

    def put_record(self, record: Record) -> None:
        """Insert or replace the record with this id."""

    def delete_record(self, record: Record) -> None:
        """Forget the record with this id; fine if it isn't there."""

    def get_status(self, owner: Key) -> Status | None:
        """The last saved status of a spec."""

    def list_statuses(self, environment: str) -> Collection[Status]:
        """The last saved statuses of an environment, by kind and name."""

    def save_status(self, status: Status) -> None:
        """Insert or replace a spec's status."""

    def delete_status(self, owner: Key) -> None:
        """Remove a spec's status; its events stay."""

    def emit(self, event: Event) -> None:
        """Append an event; the oldest beyond the store's limit go."""

    def list_events(self, owner: Key | None = None, *, limit: int = 100) -> Collection[Event]:
        """The newest events, oldest first; of one spec, or of all."""

    def close(self) -> None:
        """Release files and connections."""
