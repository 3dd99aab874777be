"""The store in the artifact bucket: a fresh machine knows what was applied. Each spec has one object (`sheet`).

What was read is kept, and read anew by `refresh`: one listing, and only the objects whose ETag is another. A write
replaces one object on condition that it is still the one that was read; when it isn't, it is read again and the same
edits are made to what is there now. The lease keeps writers apart; these conditions keep them from harm without it.

Until there is a bucket (it is itself made by a pass), edits wait here and are written with the first one after. Events
wait too, for the next change of their spec or the store's end: losing some costs lines of history.
"""

from __future__ import annotations

import threading
from collections.abc import Collection
from contextlib import suppress
from uuid import uuid4

from controller.core.record import Record
from controller.core.status import Event, Status
from controller.core.values import Key
from controller.errors import AnswerLostError, AwsError, ConflictError, MissingError, StoreError, UnavailableError
from controller.store import documents
from controller.store.objects import Objects
from controller.store.sheet import PREFIX, Content, Edit, Sheet, body_of, content_of, sheet_name, sheet_owner

# Of each spec, since they are written again with every change of it.
EVENTS_KEPT = 200
_EVENTS_WAITING = 50
_ATTEMPTS = 8
# A lost race is another's success: however many are at it, each gets its turn.
_RACES = 200


class S3Store:
    """The store among `objects`. Any number of processes may have one open."""

    def __init__(self, objects: Objects, *, events_kept: int = EVENTS_KEPT) -> None:
        self._objects, self._events_kept = objects, events_kept
        # Guards the sheets' contents; a sheet's own lock, which is always taken first, guards its object.
        self._lock = threading.RLock()
        self._sheets: dict[str, Sheet] = {}
        self._loaded, self._place = False, 0

    def refresh(self) -> None:
        """Read what others have written since."""
        try:
            listed = self._objects.list(PREFIX)
        except MissingError:
            listed = {}
        with self._lock:
            self._loaded = True
            for name in listed:
                owner = sheet_owner(name)
                if owner is not None:
                    self._sheets.setdefault(name, Sheet(name, owner))
            stale = [sheet for name, sheet in self._sheets.items() if sheet.etag != listed.get(name)]
        for sheet in stale:
            with sheet.lock:
                self._read(sheet)

    def records(self, environment: str, owners: Collection[Key] | None = None) -> Collection[Record]:
        """Every record of an environment, or those of some specs, in the order they were first put."""
        with self._lock:
            found = [
                placed
                for sheet in self._known()
                if sheet.owner.environment == environment and (owners is None or sheet.owner in owners)
                for placed in sheet.content.records.values()
            ]
        return [documents.record_from(text) for _, text in sorted(found)]

    def record(self, id_: str) -> Record | None:
        """The record with this id."""
        with self._lock:
            placed = (sheet.content.records.get(id_) for sheet in self._known())
            text = next((found[1] for found in placed if found is not None), None)
        return None if text is None else documents.record_from(text)

    def put(self, record: Record) -> None:
        """Insert or replace the record with this id."""
        text, place = documents.record_text(record), self._next()

        def edit(content: Content) -> None:
            content.records[record.id] = content.records.get(record.id, (place,))[0], text

        self._edit(_home(record), edit)

    def drop(self, record: Record) -> None:
        """Forget the record with this id; fine if it isn't there."""

        def edit(content: Content) -> None:
            content.records.pop(record.id, None)

        if record.id in self._content(_home(record)).records:
            self._edit(_home(record), edit)

    def status(self, owner: Key) -> Status | None:
        """The last saved status of a spec."""
        text = self._content(owner).status
        return None if text is None else documents.status_from(text)

    def statuses(self, environment: str) -> Collection[Status]:
        """The last saved statuses of an environment, by kind and name."""
        with self._lock:
            known = sorted((sheet for sheet in self._known()), key=lambda sheet: sheet.owner)
            texts = [sheet.content.status for sheet in known if sheet.owner.environment == environment]
        return [documents.status_from(text) for text in texts if text is not None]

    def save(self, status: Status) -> None:
        """Insert or replace a spec's status."""
        self._set_status(status.owner, documents.status_text(status))

    def forget(self, owner: Key) -> None:
        """Remove a spec's status; its events stay."""
        if self._content(owner).status is not None:
            self._set_status(owner, None)

    def emit(self, event: Event) -> None:
        """Append an event; the oldest beyond the limit of its spec go."""
        text, place = documents.event_text(event), self._next()

        def edit(content: Content) -> None:
            if (place, text) not in content.events:  # it may be made again to an object that has it already
                content.events = [*content.events, (place, text)][-self._events_kept :]

        self._edit(event.owner, edit, urgent=False)

    def events(self, owner: Key | None = None, *, limit: int = 100) -> Collection[Event]:
        """The newest events, oldest first; of one spec, or of all."""
        with self._lock:
            sheets = [sheet for sheet in self._known() if owner in (None, sheet.owner)]
            found = sorted(placed for sheet in sheets for placed in sheet.content.events)
        return [documents.event_from(text) for _, text in found[max(0, len(found) - limit) :]]

    def close(self) -> None:
        """Write the events that still wait."""
        with suppress(AwsError, StoreError):
            for sheet in list(self._sheets.values()):
                with sheet.lock:
                    self._write(sheet)

    def _set_status(self, owner: Key, text: str | None) -> None:
        def edit(content: Content) -> None:
            content.status = text

        self._edit(owner, edit)

    def _known(self) -> Collection[Sheet]:
        if not self._loaded:
            self.refresh()
        return self._sheets.values()

    def _content(self, owner: Key) -> Content:
        with self._lock:
            self._known()
            sheet = self._sheets.get(sheet_name(owner))
            return sheet.content if sheet is not None else Content()

    def _next(self) -> int:
        with self._lock:
            self._known()
            self._place += 1
            return self._place

    def _edit(self, owner: Key, edit: Edit, *, urgent: bool = True) -> None:
        name = sheet_name(owner)
        with self._lock:
            self._known()
            sheet = self._sheets.setdefault(name, Sheet(name, owner))
        with sheet.lock:
            with self._lock:
                edit(sheet.content)
                sheet.unwritten.append(edit)
            if not urgent and len(sheet.unwritten) < _EVENTS_WAITING:
                return
            self._write(sheet)
        for other in [other for other in self._sheets.copy().values() if other.homeless and sheet.etag is not None]:
            with other.lock:
                self._write(other)

    def _write(self, sheet: Sheet) -> None:
        """Write a sheet's object, with every edit that it doesn't have yet."""
        races, failures = 0, 0
        while sheet.unwritten:
            sheet.sent, sheet.content.nonce = len(sheet.unwritten), uuid4().hex
            try:
                sheet.etag = self._objects.put(sheet.name, body_of(sheet.content), sheet.etag)
            except MissingError:
                sheet.homeless = True
                return
            except (ConflictError, AnswerLostError, UnavailableError) as error:
                lost = isinstance(error, ConflictError)
                races, failures = races + lost, failures + (not lost)
                if races > _RACES or failures >= _ATTEMPTS:
                    raise StoreError(
                        "what was done can't be written down",
                        where=f"{self._objects.where}/{sheet.name}",
                        why=str(error),
                        hint="run again",
                    ) from error
                self._read(sheet)
            else:
                sheet.written()

    def _read(self, sheet: Sheet) -> None:
        """Read a sheet's object anew, and make the edits again that aren't in it."""
        try:
            found = self._objects.get(sheet.name)
        except MissingError:
            found = None
        content = content_of(found[0], f"{self._objects.where}/{sheet.name}") if found else Content()
        with self._lock:
            if content.nonce and content.nonce == sheet.content.nonce:
                sheet.written()
            for edit in sheet.unwritten:
                edit(content)
            sheet.content, sheet.etag = content, found[1] if found else None
            places = [place for place, _ in (*content.records.values(), *content.events)]
            self._place = max(self._place, *places, 0)


def _home(record: Record) -> Key:
    """The spec whose object a record is kept in."""
    return record.owner._replace(environment=record.key.environment)
