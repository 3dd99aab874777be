"""How the fields of a resource type are compared: data for the single diff."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from controller.core.values import Value

FieldPath = tuple[str, ...]


@dataclass(frozen=True)
class FieldPolicy:
    """What the diff must know of a type. Paths are dotted patterns; `*` stands for one step (`containers.*.image`).

    immutable:  a change can't be applied in place
    volatile:   outputs that an update or a revision changes, so dependents are planned too
    revisioned: a change makes a sibling (a new revision) instead of an update
    keyed:      lists whose elements have a name: pattern → the naming field
    sets:       lists without order
    owned:      collections in which what we didn't put is drift
    defaults:   what AWS fills in, so absent and default are the same: pattern → value
    normalise:  one form for several spellings: pattern → function, applied to both sides
    ignore:     not compared (somebody else's, or decided at creation only)
    write_only: AWS never shows it, so it is compared with what was applied last
    """

    immutable: frozenset[str] = frozenset()
    volatile: frozenset[str] = frozenset()
    revisioned: bool = False
    keyed: Mapping[str, str] = field(default_factory=dict)
    sets: frozenset[str] = frozenset()
    owned: frozenset[str] = frozenset()
    defaults: Mapping[str, Value] = field(default_factory=dict)
    normalise: Mapping[str, Callable[[Value], Value]] = field(default_factory=dict)
    ignore: frozenset[str] = frozenset()
    write_only: frozenset[str] = frozenset()


def matches(pattern: str, path: FieldPath) -> bool:
    """Return whether a dotted pattern matches exactly this path."""
    steps = pattern.split(".")
    return len(steps) == len(path) and all(context in ("*", got) for context, got in zip(steps, path, strict=True))


def any_matches(patterns: frozenset[str], path: FieldPath) -> bool:
    """Return whether one of the patterns matches the path."""
    return any(matches(pattern, path) for pattern in patterns)


def subtree_patterns(path: str, depth: int = 8) -> frozenset[str]:
    """Return `owned` patterns for a field and everything in it: additions below them are drift."""
    return frozenset(".".join([path, *["*"] * steps]) for steps in range(depth))


def normalise_number(value: Value) -> Value:
    """Normalise numbers that AWS spells in two ways: `256` and "256" are the same, `True` stays a boolean."""
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


def normalise_json_document(value: Value) -> Value:
    """Parse a JSON document that comes as text; like IAM, treat a single-element list and a bare string as the same."""
    if isinstance(value, str) and value[:1] in "{[":
        value = json.loads(value)
    return _unwrap_single_elements(value)


def _unwrap_single_elements(value: Value) -> Value:
    if isinstance(value, Mapping):
        return {name: _unwrap_single_elements(child) for name, child in value.items()}
    if isinstance(value, list):
        children = [_unwrap_single_elements(child) for child in value]
        if len(children) == 1:
            return children[0]
        return sorted(children, key=repr) if all(isinstance(child, str) for child in children) else children
    return value
