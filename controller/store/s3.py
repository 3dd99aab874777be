"""The store in the artifact bucket: a new machine knows what was applied. Each spec has one object.

Content that was read is cached; `refresh` lists the objects and reads only those whose ETag changed. A write replaces
an object if it is still the one that was read; otherwise it is read again, and the same edits are made to its new
content. The lease keeps writers apart; these conditions keep them from harm without it.

Until the bucket exists (a pass creates it), edits wait in memory and are written with the first one after. Events wait,
too, for the next change of their spec or the store's end: losing some costs lines of history.
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
from controller.store.cached_object import (
    PREFIX,
    CachedObject,
    ContentEdit,
    ObjectContent,
    object_key,
    owner_of_key,
    parse_content,
    serialize_content,
)
from controller.store.object_storage import ObjectStorage

# The limit for each spec, because events are written again with every change of it.
MAX_EVENTS_PER_SPEC = 200
_MAX_BUFFERED_EDITS = 50
_MAX_FAILURES = 8
# A lost race is another writer's success: with any number of writers, each gets its turn.
_MAX_CONFLICTS = 200


class S3Store:
    """The store in a bucket, `storage`. Any number of processes may have one open."""

    def __init__(self, storage: ObjectStorage, *, max_events: int = MAX_EVENTS_PER_SPEC) -> None:
        self._storage, self._max_events = storage, max_events
        # Guards the cached contents; an object's own lock, which is always taken first, guards the object.
        self._lock = threading.RLock()
        self._cached_objects: dict[str, CachedObject] = {}
        self._loaded, self._sequence = False, 0

    def refresh(self) -> None:
        """Read what others have written since."""
        try:
            listed = self._storage.list(PREFIX)
        except MissingError:
            listed = {}
        with self._lock:
            self._loaded = True
            for name in listed:
                owner = owner_of_key(name)
                if owner is not None:
                    self._cached_objects.setdefault(name, CachedObject(name, owner))
            stale = [cached for name, cached in self._cached_objects.items() if cached.etag != listed.get(name)]
        for cached in stale:
            with cached.lock:
                self._read(cached)

    def list_records(self, environment: str, owners: Collection[Key] | None = None) -> Collection[Record]:
        """Return every record of an environment, or those of some specs, in the order they were first stored."""
        with self._lock:
            found = [
                placed
                for cached in self._load_objects()
                if cached.owner.environment == environment and (owners is None or cached.owner in owners)
                for placed in cached.content.records.values()
            ]
        return [documents.parse_record(text) for _, text in sorted(found)]

    def get_record(self, id_: str) -> Record | None:
        """Return the record with this id; None if there is none."""
        with self._lock:
            placed = (cached.content.records.get(id_) for cached in self._load_objects())
            text = next((found[1] for found in placed if found is not None), None)
        return None if text is None else documents.parse_record(text)

    def put_record(self, record: Record) -> None:
        """Insert or replace the record with this id."""
        text, place = documents.serialize_record(record), self._next_sequence()

        def edit(content: ObjectContent) -> None:
            content.records[record.id] = content.records.get(record.id, (place,))[0], text

        self._apply_edit(_owner_in_environment(record), edit)

    def delete_record(self, record: Record) -> None:
        """Delete the record with this id; fine if there is none."""

        def edit(content: ObjectContent) -> None:
            content.records.pop(record.id, None)

        if record.id in self._content_of(_owner_in_environment(record)).records:
            self._apply_edit(_owner_in_environment(record), edit)

    def get_status(self, owner: Key) -> Status | None:
        """Return the last saved status of a spec; None if there is none."""
        text = self._content_of(owner).status
        return None if text is None else documents.parse_status(text)

    def list_statuses(self, environment: str) -> Collection[Status]:
        """Return the last saved statuses of an environment, by kind and name."""
        with self._lock:
            known = sorted((cached for cached in self._load_objects()), key=lambda cached: cached.owner)
            texts = [cached.content.status for cached in known if cached.owner.environment == environment]
        return [documents.parse_status(text) for text in texts if text is not None]

    def save_status(self, status: Status) -> None:
        """Insert or replace a spec's status."""
        self._set_status(status.owner, documents.serialize_status(status))

    def delete_status(self, owner: Key) -> None:
        """Delete a spec's status; its events stay."""
        if self._content_of(owner).status is not None:
            self._set_status(owner, None)

    def emit(self, event: Event) -> None:
        """Append an event; the oldest beyond the limit of its spec are dropped."""
        text, place = documents.serialize_event(event), self._next_sequence()

        def edit(content: ObjectContent) -> None:
            if (place, text) not in content.events:  # the edit may be repeated on an object that contains it already
                content.events = [*content.events, (place, text)][-self._max_events :]

        self._apply_edit(event.owner, edit, write_now=False)

    def list_events(self, owner: Key | None = None, *, limit: int = 100) -> Collection[Event]:
        """Return the newest events, oldest first; of one spec, or of all."""
        with self._lock:
            cached_objects = [cached for cached in self._load_objects() if owner in (None, cached.owner)]
            found = sorted(placed for cached in cached_objects for placed in cached.content.events)
        return [documents.parse_event(text) for _, text in found[max(0, len(found) - limit) :]]

    def close(self) -> None:
        """Write the events that still wait."""
        with suppress(AwsError, StoreError):
            for cached in list(self._cached_objects.values()):
                with cached.lock:
                    self._write(cached)

    def _set_status(self, owner: Key, text: str | None) -> None:
        def edit(content: ObjectContent) -> None:
            content.status = text

        self._apply_edit(owner, edit)

    def _load_objects(self) -> Collection[CachedObject]:
        if not self._loaded:
            self.refresh()
        return self._cached_objects.values()

    def _content_of(self, owner: Key) -> ObjectContent:
        with self._lock:
            self._load_objects()
            cached = self._cached_objects.get(object_key(owner))
            return cached.content if cached is not None else ObjectContent()

    def _next_sequence(self) -> int:
        with self._lock:
            self._load_objects()
            self._sequence += 1
            return self._sequence

    def _apply_edit(self, owner: Key, edit: ContentEdit, *, write_now: bool = True) -> None:
        name = object_key(owner)
        with self._lock:
            self._load_objects()
            cached = self._cached_objects.setdefault(name, CachedObject(name, owner))
        with cached.lock:
            with self._lock:
                edit(cached.content)
                cached.pending_edits.append(edit)
            if not write_now and len(cached.pending_edits) < _MAX_BUFFERED_EDITS:
                return
            self._write(cached)
        for other in [
            other for other in self._cached_objects.copy().values() if other.bucket_missing and cached.etag is not None
        ]:
            with other.lock:
                self._write(other)

    def _write(self, cached: CachedObject) -> None:
        """Write a cached object with every edit that it doesn't contain yet."""
        races, failures = 0, 0
        while cached.pending_edits:
            cached.sent_edits, cached.content.nonce = len(cached.pending_edits), uuid4().hex
            try:
                cached.etag = self._storage.put(cached.key, serialize_content(cached.content), cached.etag)
            except MissingError:
                cached.bucket_missing = True
                return
            except (ConflictError, AnswerLostError, UnavailableError) as error:
                lost = isinstance(error, ConflictError)
                races, failures = races + lost, failures + (not lost)
                if races > _MAX_CONFLICTS or failures >= _MAX_FAILURES:
                    raise StoreError(
                        "the state can't be saved",
                        where=f"{self._storage.where}/{cached.key}",
                        why=str(error),
                        hint="run again",
                    ) from error
                self._read(cached)
            else:
                cached.mark_written()

    def _read(self, cached: CachedObject) -> None:
        """Read an object again, and repeat the edits that it doesn't contain."""
        try:
            found = self._storage.get(cached.key)
        except MissingError:
            found = None
        content = parse_content(found[0], f"{self._storage.where}/{cached.key}") if found else ObjectContent()
        with self._lock:
            if content.nonce and content.nonce == cached.content.nonce:
                cached.mark_written()
            for edit in cached.pending_edits:
                edit(content)
            cached.content, cached.etag = content, found[1] if found else None
            places = [place for place, _ in (*content.records.values(), *content.events)]
            self._sequence = max(self._sequence, *places, 0)


def _owner_in_environment(record: Record) -> Key:
    """Return the spec whose object contains a record."""
    return record.owner._replace(environment=record.key.environment)
