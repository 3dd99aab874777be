"""The one diff: last applied, live and desired, compared over canonical forms.

Only fields we set count. A field that was applied once and is no longer wanted goes back to its default. What others
put into an owned collection is drift; elsewhere it is left alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from controller.core.policy import FieldPolicy, Path, any_matches, matches
from controller.core.values import ABSENT, UNKNOWN, Blob, Value, digest, is_known


@dataclass(frozen=True)
class Change:
    """One field: `path` dotted, `old` as it is, `new` as it will be (`ABSENT`: not there, `UNKNOWN`: known after apply)."""

    path: str
    old: Value
    new: Value


def diff(
    applied: Mapping[str, Value] | None, live: Mapping[str, Value], desired: Mapping[str, Value], policy: FieldPolicy
) -> tuple[Change, ...]:
    """What must change so that `live` is as `desired`, in path order; `()` when it is.

    `applied` is what was sent last time, or None when nobody remembers: then no field can have been dropped.
    """
    form = _Form(policy)
    last, now, want = (form.of(side) for side in (applied or {}, live, desired))
    return tuple(sorted(_mappings((), last, now, want, policy), key=lambda change: change.path))


class _Set(dict[str, Value]):
    """Members of an unordered list by digest; `unknown` counts those only an apply will tell."""

    unknown: int = 0


@dataclass(frozen=True)
class _Form:
    """One form for every spelling: keyed lists become mappings, sets lose their order, null and empty vanish."""

    policy: FieldPolicy

    def of(self, value: Value, path: Path = (), *, whole: bool = False) -> Value:
        """The canonical form. `whole` says that it stands in a list compared as one, so defaults must be written out."""
        value = self._normal(value, path)
        if isinstance(value, Blob):
            return value.sha256
        if isinstance(value, Mapping):
            return self._mapping(value, path, whole=whole)
        if isinstance(value, list | tuple):
            return self._list(value, path, whole=whole)
        return value

    def _normal(self, value: Value, path: Path) -> Value:
        for pattern, normalise in self.policy.normalise.items():
            if value is not UNKNOWN and matches(pattern, path):
                return normalise(value)
        return value

    def _mapping(self, value: Mapping[str, Value], path: Path, *, whole: bool) -> Value:
        children = {str(name): self.of(child, (*path, str(name)), whole=whole) for name, child in value.items()}
        if whole:
            children = {**_defaults_below(path, self.policy), **children}
        return {name: child for name, child in children.items() if not _vanishes(child, (*path, name), self.policy)}

    def _list(self, value: list[Value] | tuple[Value, ...], path: Path, *, whole: bool) -> Value:
        naming = next((name for pattern, name in self.policy.keyed.items() if matches(pattern, path)), None)
        if naming is not None:
            return {
                str(element[naming]): self.of(element, (*path, str(element[naming])), whole=whole) for element in value
            }
        elements = [self.of(element, (*path, "*"), whole=True) for element in value]
        if not any_matches(self.policy.sets, path):
            return elements
        members = _Set({digest(element): element for element in elements if is_known(element)})
        members.unknown = sum(not is_known(element) for element in elements)
        return members


def _empty(value: Value) -> bool:
    return (
        value is None
        or value is ABSENT
        or (isinstance(value, dict | list) and not value and not getattr(value, "unknown", 0))
    )


def _vanishes(value: Value, path: Path, policy: FieldPolicy) -> bool:
    """An owned collection keeps its emptiness: it says that nothing may be in it."""
    return value is None or (_empty(value) and not any_matches(policy.owned, path))


def _defaults_below(path: Path, policy: FieldPolicy) -> dict[str, Value]:
    found = ((pattern.rpartition("."), value) for pattern, value in policy.defaults.items())
    return {name: value for (parent, _, name), value in found if matches(parent, path)}


def _default(path: Path, policy: FieldPolicy) -> Value:
    return next((value for pattern, value in policy.defaults.items() if matches(pattern, path)), ABSENT)


def _compare(path: Path, last: Value, now: Value, want: Value, policy: FieldPolicy) -> Iterator[Change]:
    if any_matches(policy.ignore, path):
        return
    if any_matches(policy.write_only, path):
        now = last
    if isinstance(want, _Set):
        yield from _sets(path, last, now, want, policy)
    elif isinstance(want, dict) and isinstance(now, dict):
        yield from _mappings(path, last, now, want, policy)
    elif not _same(now, want):
        yield Change(".".join(path), _shown(now), _shown(want))


def _mappings(
    path: Path, last: Value, now: dict[str, Value], want: dict[str, Value], policy: FieldPolicy
) -> Iterator[Change]:
    before = last if isinstance(last, dict) else {}
    owned = any_matches(policy.owned, path)
    for name in {*now, *want, *before}:
        inner = (*path, name)
        if name in want or name in before or owned:
            default = _default(inner, policy)
            yield from _compare(
                inner, before.get(name, ABSENT), now.get(name, default), want.get(name, default), policy
            )


def _sets(path: Path, last: Value, now: Value, want: _Set, policy: FieldPolicy) -> Iterator[Change]:
    have, before = (side if isinstance(side, _Set) else _Set() for side in (now, last))
    surplus = have.keys() - want.keys()
    if not any_matches(policy.owned, path):
        surplus &= before.keys()
    if want.keys() - have.keys() or want.unknown or surplus:
        yield Change(".".join(path), _shown(now), _shown(want))


def _same(now: Value, want: Value) -> bool:
    """Equality without Python's kindness: True is not 1; 1 and 1.0 are the same number; empty is absent."""
    if want is UNKNOWN:
        return False
    if _empty(want) or _empty(now):
        return _empty(want) and _empty(now)
    if isinstance(want, bool) or isinstance(now, bool):
        return want is now
    if isinstance(want, list) and isinstance(now, list):
        return len(want) == len(now) and all(_same(have, need) for have, need in zip(now, want, strict=True))
    if isinstance(want, dict) and isinstance(now, dict):
        return want.keys() == now.keys() and all(_same(now[name], want[name]) for name in want)
    return bool(now == want)


def _shown(value: Value) -> Value:
    """A canonical value as people read it: sets are lists again."""
    if isinstance(value, _Set):
        return sorted((_shown(member) for member in value.values()), key=repr) + [UNKNOWN] * value.unknown
    if isinstance(value, dict):
        return {name: _shown(child) for name, child in value.items()}
    if isinstance(value, list):
        return [_shown(child) for child in value]
    return value
