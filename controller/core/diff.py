"""The single diff: it compares last applied, live and desired values in canonical form.

Only fields that Moorage sets count. A field that was applied once and is no longer desired returns to its default.
Additions by others are drift in an owned collection, and ignored elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from controller.core.field_policy import FieldPath, FieldPolicy, any_matches, matches
from controller.core.values import ABSENT, UNKNOWN, Blob, Value, digest, is_known


@dataclass(frozen=True)
class Change:
    """One changed field.

    `path` is dotted; `old` is the live value and `new` the one after apply (`ABSENT`: not there, `UNKNOWN`: known after
    apply).
    """

    path: str
    old: Value
    new: Value


def diff(
    applied: Mapping[str, Value] | None, live: Mapping[str, Value], desired: Mapping[str, Value], policy: FieldPolicy
) -> tuple[Change, ...]:
    """Return the changes that make `live` equal `desired`, in path order; empty if they are equal.

    `applied` is what was sent last, or None if the store has no record: then no field counts as dropped.
    """
    form = _Canonicalizer(policy)
    last, now, context = (form.canonicalize(side) for side in (applied or {}, live, desired))
    return tuple(sorted(_compare_mappings((), last, now, context, policy), key=lambda change: change.path))


class _UnorderedMembers(dict[str, Value]):
    """The members of an unordered list by digest; `unknown` counts those that are known only after apply."""

    unknown: int = 0


@dataclass(frozen=True)
class _Canonicalizer:
    """Converts all spellings of a value to one form.

    Keyed lists become mappings, sets lose their order, null and empty vanish.
    """

    policy: FieldPolicy

    def canonicalize(self, value: Value, path: FieldPath = (), *, whole: bool = False) -> Value:
        """Return the canonical form.

        `whole` says that the value is in a list that is compared as a whole, so defaults are filled in.
        """
        value = self._normalise(value, path)
        if isinstance(value, Blob):
            return value.sha256
        if isinstance(value, Mapping):
            return self._canonicalize_mapping(value, path, whole=whole)
        if isinstance(value, list | tuple):
            return self._canonicalize_list(value, path, whole=whole)
        return value

    def _normalise(self, value: Value, path: FieldPath) -> Value:
        for pattern, normalise in self.policy.normalise.items():
            if value is not UNKNOWN and matches(pattern, path):
                return normalise(value)
        return value

    def _canonicalize_mapping(self, value: Mapping[str, Value], path: FieldPath, *, whole: bool) -> Value:
        children = {
            str(name): self.canonicalize(child, (*path, str(name)), whole=whole) for name, child in value.items()
        }
        if whole:
            children = {**_defaults_below(path, self.policy), **children}
        return {name: child for name, child in children.items() if not _is_omitted(child, (*path, name), self.policy)}

    def _canonicalize_list(self, value: list[Value] | tuple[Value, ...], path: FieldPath, *, whole: bool) -> Value:
        naming = next((name for pattern, name in self.policy.keyed.items() if matches(pattern, path)), None)
        if naming is not None:
            return {
                str(element[naming]): self.canonicalize(element, (*path, str(element[naming])), whole=whole)
                for element in value
            }
        elements = [self.canonicalize(element, (*path, "*"), whole=True) for element in value]
        if not any_matches(self.policy.sets, path):
            return elements
        members = _UnorderedMembers({digest(element): element for element in elements if is_known(element)})
        members.unknown = sum(not is_known(element) for element in elements)
        return members


def _is_empty(value: Value) -> bool:
    return (
        value is None
        or value is ABSENT
        or (isinstance(value, dict | list) and not value and not getattr(value, "unknown", 0))
    )


def _is_omitted(value: Value, path: FieldPath, policy: FieldPolicy) -> bool:
    """Return whether a value counts as absent. An owned collection keeps its emptiness, which forbids members."""
    return value is None or (_is_empty(value) and not any_matches(policy.owned, path))


def _defaults_below(path: FieldPath, policy: FieldPolicy) -> dict[str, Value]:
    found = ((pattern.rpartition("."), value) for pattern, value in policy.defaults.items())
    return {name: value for (parent, _, name), value in found if matches(parent, path)}


def _default_at(path: FieldPath, policy: FieldPolicy) -> Value:
    return next((value for pattern, value in policy.defaults.items() if matches(pattern, path)), ABSENT)


def _compare(path: FieldPath, applied: Value, live: Value, desired: Value, policy: FieldPolicy) -> Iterator[Change]:
    if any_matches(policy.ignore, path):
        return
    if any_matches(policy.write_only, path):
        live = applied
    if isinstance(desired, _UnorderedMembers):
        yield from _compare_sets(path, applied, live, desired, policy)
    elif isinstance(desired, dict) and isinstance(live, dict):
        yield from _compare_mappings(path, applied, live, desired, policy)
    elif not _is_equal(live, desired):
        yield Change(".".join(path), _to_readable(live), _to_readable(desired))


def _compare_mappings(
    path: FieldPath, applied: Value, live: dict[str, Value], desired: dict[str, Value], policy: FieldPolicy
) -> Iterator[Change]:
    before = applied if isinstance(applied, dict) else {}
    owned = any_matches(policy.owned, path)
    for name in {*live, *desired, *before}:
        inner = (*path, name)
        if name in desired or name in before or owned:
            default = _default_at(inner, policy)
            yield from _compare(
                inner, before.get(name, ABSENT), live.get(name, default), desired.get(name, default), policy
            )


def _compare_sets(
    path: FieldPath, applied: Value, live: Value, desired: _UnorderedMembers, policy: FieldPolicy
) -> Iterator[Change]:
    have, before = (side if isinstance(side, _UnorderedMembers) else _UnorderedMembers() for side in (live, applied))
    surplus = have.keys() - desired.keys()
    if not any_matches(policy.owned, path):
        surplus &= before.keys()
    if desired.keys() - have.keys() or desired.unknown or surplus:
        yield Change(".".join(path), _to_readable(live), _to_readable(desired))


def _is_equal(live: Value, desired: Value) -> bool:
    """Compare strictly: True is not 1, but 1 and 1.0 are the same number, and empty is absent."""
    if desired is UNKNOWN:
        return False
    if _is_empty(desired) or _is_empty(live):
        return _is_empty(desired) and _is_empty(live)
    if isinstance(desired, bool) or isinstance(live, bool):
        return desired is live
    if isinstance(desired, list) and isinstance(live, list):
        return len(desired) == len(live) and all(
            _is_equal(have, need) for have, need in zip(live, desired, strict=True)
        )
    if isinstance(desired, dict) and isinstance(live, dict):
        return desired.keys() == live.keys() and all(_is_equal(live[name], desired[name]) for name in desired)
    return bool(live == desired)


def _to_readable(value: Value) -> Value:
    """Return a canonical value in readable form: sets are lists again."""
    if isinstance(value, _UnorderedMembers):
        return sorted((_to_readable(member) for member in value.values()), key=repr) + [UNKNOWN] * value.unknown
    if isinstance(value, dict):
        return {name: _to_readable(child) for name, child in value.items()}
    if isinstance(value, list):
        return [_to_readable(child) for child in value]
    return value
