"""What a field may hold: JSON, and a few things that JSON can't express.

A `Ref` is a typed edge of the graph inside a value; `Format` puts values into a text; `UNKNOWN` stands for a value that
is known after apply, `ABSENT` for a missing one; a `Blob` is content identified by its digest.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Final, Literal, NamedTuple

Value = Any
"""None, bool, int, float, str, list, dict with str keys, or one of this module's classes, nested at will."""


class Key(NamedTuple):
    """The name of a graph node or a spec: `("prod", "ecs/service", "housing-model")`.

    `name` begins with the owning ModelService's name, or with `/` for objects that an Environment's models share.
    """

    environment: str
    kind: str
    name: str

    def __str__(self) -> str:
        """Return the readable form: `ecs/service housing-model`."""
        return f"{self.kind} {self.name}" if self.name != "/" else self.kind


@dataclass(frozen=True)
class Ref:
    """An edge: this place takes `output` of the node `key`."""

    key: Key
    output: str


@dataclass(frozen=True)
class Format:
    """A text with values in it: `Format("s3://{}/data", (Ref(bucket, "name"),))`."""

    template: str
    arguments: tuple[Value, ...]


@dataclass(frozen=True)
class Blob:
    """Content identified by its digest; `load` returns the bytes when they are sent."""

    sha256: str
    size: int
    load: Callable[[], bytes] = field(compare=False, repr=False)


class Sentinel(Enum):
    """Two values that JSON lacks."""

    UNKNOWN = "(known after apply)"
    ABSENT = "(absent)"

    def __repr__(self) -> str:
        """Return the form that plans print."""
        return self.value


UNKNOWN: Final[Literal[Sentinel.UNKNOWN]] = Sentinel.UNKNOWN
ABSENT: Final[Literal[Sentinel.ABSENT]] = Sentinel.ABSENT


def iter_refs(value: Value) -> Iterator[Ref]:
    """Yield every Ref in a value, in reading order."""
    if isinstance(value, Ref):
        yield value
    elif isinstance(value, Format):
        yield from iter_refs(value.arguments)
    elif isinstance(value, Mapping):
        for child in value.values():
            yield from iter_refs(child)
    elif isinstance(value, list | tuple):
        for child in value:
            yield from iter_refs(child)


def iter_strings(value: Value) -> Iterator[str]:
    """Yield every string in a value, at any depth, without the names of fields."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for child in value.values():
            yield from iter_strings(child)
    elif isinstance(value, list | tuple):
        for child in value:
            yield from iter_strings(child)


def resolve(value: Value, lookup: Callable[[Ref], Value]) -> Value:
    """Return the value with each Ref replaced by the result of `lookup`; a Format with an unknown part is unknown."""
    if isinstance(value, Ref):
        return lookup(value)
    if isinstance(value, Format):
        parts = [resolve(part, lookup) for part in value.arguments]
        return value.template.format(*parts) if all(map(is_known, parts)) else UNKNOWN
    if isinstance(value, Mapping):
        return {name: resolve(child, lookup) for name, child in value.items()}
    if isinstance(value, list | tuple):
        return [resolve(child, lookup) for child in value]
    return value


def is_known(value: Value) -> bool:
    """Return whether a value contains no unknown part and no unresolved Ref."""
    if isinstance(value, Mapping):
        return all(map(is_known, value.values()))
    if isinstance(value, list | tuple):
        return all(map(is_known, value))
    return value is not UNKNOWN and not isinstance(value, Ref | Format)


def to_json_value(value: Value) -> Value:
    """Return the value as JSON: blobs as their digests, sentinels as their words."""
    if isinstance(value, Blob):
        return value.sha256
    if isinstance(value, Sentinel):
        return value.value
    if isinstance(value, Mapping):
        return {name: to_json_value(child) for name, child in value.items()}
    if isinstance(value, list | tuple):
        return [to_json_value(child) for child in value]
    return value


def digest(*values: Value) -> str:
    """Return the SHA-256, in hex, of the values' canonical JSON: equal values have equal digests on any machine."""
    text = json.dumps([to_json_value(value) for value in values], sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
