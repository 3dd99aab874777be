"""One spec's object in the bucket.

`moorage/state/ENVIRONMENT/KIND/NAME.json` holds the spec's records, status and newest events as readable JSON. This
module calls no object store.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from controller.core.values import Key
from controller.errors import StoreError

PREFIX = "moorage/state/"
_VERSION = 1

SequencedText = tuple[int, str]


@dataclass
class ObjectContent:
    """The content of an object: texts as `documents` makes them, records by id.

    `sequence` numbers order records and events across all objects; `nonce` differs with each write.
    """

    records: dict[str, SequencedText] = field(default_factory=dict)
    status: str | None = None
    events: list[SequencedText] = field(default_factory=list)
    nonce: str = ""


ContentEdit = Callable[[ObjectContent], None]


@dataclass
class CachedObject:
    """The desired content of an object, its last known ETag, and the edits that it doesn't contain yet.

    `sent` counts the edits in the last write; `bucket_missing` says that there was no bucket to write to.
    """

    key: str
    owner: Key
    content: ObjectContent = field(default_factory=ObjectContent)
    etag: str | None = None
    pending_edits: list[ContentEdit] = field(default_factory=list)
    sent_edits: int = 0
    bucket_missing: bool = False
    lock: threading.RLock = field(default_factory=threading.RLock)

    def mark_written(self) -> None:
        """Note that the last write succeeded."""
        del self.pending_edits[: self.sent_edits]
        self.sent_edits, self.bucket_missing = 0, False


def object_key(owner: Key) -> str:
    """Return the key of a spec's object."""
    return f"{PREFIX}{owner.environment}/{owner.kind}/{owner.name}.json"


def owner_of_key(key: str) -> Key | None:
    """Return the spec of an object; None for an object of another kind."""
    parts = key.removeprefix(PREFIX).removesuffix(".json").split("/")
    return Key(*parts) if len(parts) == 3 and key == object_key(Key(*parts)) else None


def serialize_content(content: ObjectContent) -> bytes:
    """Return an object's bytes."""
    document = {
        "version": _VERSION,
        "nonce": content.nonce,
        "status": None if content.status is None else json.loads(content.status),
        "records": [
            {"id": id_, "place": place, "record": json.loads(text)} for id_, (place, text) in content.records.items()
        ],
        "events": [{"place": place, "event": json.loads(text)} for place, text in content.events],
    }
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()


def parse_content(body: bytes, where: str) -> ObjectContent:
    """Return the content of an object's bytes. Raises StoreError, which names `where`."""
    try:
        document = json.loads(body)
        if document["version"] > _VERSION:
            raise StoreError(
                "it was written by a newer Moorage",
                where=where,
                why=f"its version is {document['version']}, this release supports {_VERSION}",
                hint="upgrade Moorage",
            )
        return ObjectContent(
            {item["id"]: (int(item["place"]), _to_json(item["record"])) for item in document["records"]},
            None if document["status"] is None else _to_json(document["status"]),
            [(int(item["place"]), _to_json(item["event"])) for item in document["events"]],
            str(document["nonce"]),
        )
    except (ValueError, TypeError, KeyError) as error:
        raise StoreError(
            "its content isn't valid",
            where=where,
            why=f"{type(error).__name__}: {error}",
            hint="delete it and run again: ownership is read from AWS's tags, only history is lost",
        ) from error


def _to_json(document: Any) -> str:
    return json.dumps(document, ensure_ascii=False, separators=(",", ":"))
