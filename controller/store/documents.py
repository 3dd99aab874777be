"""Records, statuses and events as JSON text, and back. Every backend stores these texts without reading them."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from typing import Any, TypeVar

from controller.core.history import Revision
from controller.core.record import Record
from controller.core.status import Condition, Event, ResourceState, Status
from controller.core.values import Key, to_json_value
from controller.errors import StoreError

T = TypeVar("T")
_MAX_INTERNED_LENGTH = 100


def serialize_record(record: Record) -> str:
    """Return a record as text."""
    return _to_json(vars(record))


def parse_record(text: str) -> Record:
    """Return the record of a text. Raises StoreError."""
    document = _parse_json(text)
    return _construct(
        Record,
        document,
        key=_parse_key(document),
        owner=_parse_key(document, "owner"),
        edges=tuple(Key(*edge) for edge in document.get("edges", ())),
    )


def serialize_status(status: Status) -> str:
    """Return a status as text."""
    parts = {name: [vars(part) for part in vars(status)[name]] for name in ("conditions", "resources", "history")}
    return _to_json({**vars(status), **parts})


def parse_status(text: str) -> Status:
    """Return the status of a text. Raises StoreError."""
    document = _parse_json(text)
    return _construct(
        Status,
        document,
        owner=_parse_key(document, "owner"),
        conditions=tuple(_construct(Condition, condition) for condition in document.get("conditions", ())),
        resources=tuple(
            _construct(ResourceState, state, key=_parse_key(state)) for state in document.get("resources", ())
        ),
        history=tuple(_construct(Revision, revision) for revision in document.get("history", ())),
    )


def serialize_event(event: Event) -> str:
    """Return an event as text."""
    return _to_json(vars(event))


def parse_event(text: str) -> Event:
    """Return the event of a text. Raises StoreError."""
    document = _parse_json(text)
    key = _parse_key(document) if document.get("key") is not None else None
    return _construct(Event, document, owner=_parse_key(document, "owner"), key=key)


def _to_json(document: Mapping[str, Any]) -> str:
    return json.dumps(to_json_value(document), separators=(",", ":"), ensure_ascii=False)


def _parse_json(text: str) -> dict[str, Any]:
    try:
        document = json.loads(text, object_pairs_hook=_intern_pairs)
    except ValueError as error:
        raise _corrupt_entry_error(error) from error
    if not isinstance(document, dict):
        raise _corrupt_entry_error(TypeError("an object was expected"))
    return document


def _intern_pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return a mapping that shares its names and short texts with all other documents, because many are equal."""
    return {
        sys.intern(name): sys.intern(value) if isinstance(value, str) and len(value) < _MAX_INTERNED_LENGTH else value
        for name, value in pairs
    }


def _parse_key(document: Mapping[str, Any], name: str = "key") -> Key:
    try:
        return Key(*document[name])
    except (KeyError, TypeError) as error:
        raise _corrupt_entry_error(error) from error


def _construct(cls: type[T], document: Mapping[str, Any], **parts: Any) -> T:
    try:
        return cls(**{**document, **parts})
    except TypeError as error:
        raise _corrupt_entry_error(error) from error


def _corrupt_entry_error(error: Exception) -> StoreError:
    return StoreError(
        "an entry of the store isn't valid",
        why=str(error),
        hint="move the store away and run again: ownership is read from AWS's tags, only history is lost",
    )
