"""Records, statuses and events as JSON text, and back. Every home of the store keeps these texts; none looks inside."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from typing import Any, TypeVar

from controller.core.history import Revision
from controller.core.record import Record
from controller.core.status import Condition, Event, ResourceState, Status
from controller.core.values import Key, plain
from controller.errors import StoreError

T = TypeVar("T")
_SHORT = 100


def record_text(record: Record) -> str:
    """A record as text."""
    return _text(vars(record))


def record_from(text: str) -> Record:
    """The record a text was made from. Raises StoreError."""
    document = _document(text)
    return _made(
        Record,
        document,
        key=_key(document),
        owner=_key(document, "owner"),
        edges=tuple(Key(*edge) for edge in document.get("edges", ())),
    )


def status_text(status: Status) -> str:
    """A status as text."""
    parts = {name: [vars(part) for part in vars(status)[name]] for name in ("conditions", "resources", "history")}
    return _text({**vars(status), **parts})


def status_from(text: str) -> Status:
    """The status a text was made from. Raises StoreError."""
    document = _document(text)
    return _made(
        Status,
        document,
        owner=_key(document, "owner"),
        conditions=tuple(_made(Condition, condition) for condition in document.get("conditions", ())),
        resources=tuple(_made(ResourceState, state, key=_key(state)) for state in document.get("resources", ())),
        history=tuple(_made(Revision, revision) for revision in document.get("history", ())),
    )


def event_text(event: Event) -> str:
    """An event as text."""
    return _text(vars(event))


def event_from(text: str) -> Event:
    """The event a text was made from. Raises StoreError."""
    document = _document(text)
    key = _key(document) if document.get("key") is not None else None
    return _made(Event, document, owner=_key(document, "owner"), key=key)


def _text(document: Mapping[str, Any]) -> str:
    return json.dumps(plain(document), separators=(",", ":"), ensure_ascii=False)


def _document(text: str) -> dict[str, Any]:
    try:
        document = json.loads(text, object_pairs_hook=_shared)
    except ValueError as error:
        raise _broken(error) from error
    if not isinstance(document, dict):
        raise _broken(TypeError("an object was expected"))
    return document


def _shared(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A mapping whose names, and short texts, are the same objects in all documents: there are many alike."""
    return {
        sys.intern(name): sys.intern(value) if isinstance(value, str) and len(value) < _SHORT else value
        for name, value in pairs
    }


def _key(document: Mapping[str, Any], name: str = "key") -> Key:
    try:
        return Key(*document[name])
    except (KeyError, TypeError) as error:
        raise _broken(error) from error


def _made(kind: type[T], document: Mapping[str, Any], **parts: Any) -> T:
    try:
        return kind(**{**document, **parts})
    except TypeError as error:
        raise _broken(error) from error


def _broken(error: Exception) -> StoreError:
    return StoreError(
        "an entry of the store can't be understood",
        why=str(error),
        hint="move the store away and run again: what is owned is read from AWS's tags, only history is lost",
    )
