"""Whether a step was promised by a plan: it brings an object that the plan names to where the plan says. Pure.

A later pass sees more than the first one did: what was *(known after apply)* has a value, and what was made by half is
finished by an update. So a step is held against all that the plan says of its object, now and later, not against one line.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from controller.core.values import Value
from controller.runtime.plan_document import NOT_KNOWN, NOT_THERE, PlannedStep

_MAKING = frozenset({"create", "revise", "replace", "adopt"})
# What a planned action may turn into: what is made may still have to be put right, and its forerunner goes.
_INTO = {
    "create": _MAKING | {"update"},
    "adopt": _MAKING | {"update"},
    "revise": _MAKING | {"update", "delete"},
    "replace": _MAKING | {"update", "delete"},
    "update": frozenset({"update"}),
    "delete": frozenset({"delete"}),
}


def uncovered(promised: Iterable[PlannedStep], steps: Iterable[PlannedStep]) -> list[str]:
    """What the promised steps don't cover of other ones, in words; nothing when they cover it all."""
    by_object: dict[tuple[str, str, str], list[PlannedStep]] = {}
    for step in promised:
        if not step.held:
            by_object.setdefault((step.environment, step.resource, step.name), []).append(step)
    return [
        line
        for step in steps
        for line in _lacking(by_object.get((step.environment, step.resource, step.name), ()), step)
    ]


def _lacking(promised: Sequence[PlannedStep], step: PlannedStep) -> Iterator[str]:
    if not any(step.action in _INTO[other.action] for other in promised):
        paths = ", ".join(change.path for change in step.changes)
        yield f"{step.action} {step.object}{f' ({paths})' if step.action == 'update' else ''}"
        return
    if step.action == "delete":
        # What takes the place of an object takes it away, too; otherwise it has to be the very one.
        if not any(other.action != "delete" or other.changes == step.changes for other in promised):
            yield f"{step.action} {step.object} ({', '.join(f'{change.path} {change.old}' for change in step.changes)})"
        return
    values = [(change.path.split("."), change.new) for other in promised for change in other.changes]
    for change in step.changes:
        if not any(_reaches(path, value, change.path.split("."), change.new) for path, value in values):
            yield f"{step.action} {step.object}: {change.path}"


def _reaches(path: Sequence[str], value: Value, wanted: Sequence[str], new: Value) -> bool:
    """Whether a promised value at a path says, or leaves open, what a step sets at its own path."""
    if path[: len(wanted)] == wanted and len(path) > len(wanted):
        return _within(path[len(wanted) :], value, new)
    if wanted[: len(path)] != path:
        return False
    for name in wanted[len(path) :]:
        if value == NOT_KNOWN:
            return True
        value = _child(value, name)
    return _agrees(value, new)


def _within(path: Sequence[str], value: Value, new: Value) -> bool:
    """Whether a value that is promised deeper down is in what is set as a whole."""
    for name in path:
        new = _child(new, name)
    return _agrees(value, new)


def _child(value: Value, name: str) -> Value:
    if isinstance(value, Mapping):
        return value.get(name, NOT_THERE)
    if isinstance(value, list | tuple):
        return next((one for one in value if isinstance(one, Mapping) and name in one.values()), NOT_THERE)
    return NOT_THERE


def _agrees(promised: Value, value: Value) -> bool:
    """Whether they are equal but for what was promised as unknown. Lists may have another order; empty is absent."""
    if promised in (NOT_KNOWN, value):
        return True
    if isinstance(promised, Mapping) and isinstance(value, Mapping):
        names = promised.keys() | value.keys()
        return all(_agrees(promised.get(name, NOT_THERE), value.get(name, NOT_THERE)) for name in names)
    if isinstance(promised, list | tuple) and isinstance(value, list | tuple):
        return len(promised) == len(value) and _pairs(list(promised), list(value))
    return _empty(promised) and _empty(value)


def _pairs(promised: list[Value], values: list[Value]) -> bool:
    """Whether each value has a promise of its own; those that are known choose first."""
    for one in sorted(promised, key=lambda promise: NOT_KNOWN in str(promise)):
        at = next((index for index, value in enumerate(values) if _agrees(one, value)), None)
        if at is None:
            return False
        del values[at]
    return True


def _empty(value: Value) -> bool:
    return value is None or value in (NOT_THERE, [], {}, ())
