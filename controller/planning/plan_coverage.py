"""Check that a saved plan covers a step: the step brings a planned object to its planned state. Pure.

A later pass knows more than the first: *(known after apply)* has become a value, and an update completes an object that
was created only partly. So a step is compared with all planned steps of its object, now and later, not with a single
one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from controller.core.values import Value
from controller.planning.plan_document import NOT_KNOWN, NOT_THERE, PlannedStep

_CREATING_ACTIONS = frozenset({"create", "revise", "replace", "adopt"})
# Planned action → actions that may carry it out: a new object may need an update, and its predecessor is deleted.
_ALLOWED_ACTIONS = {
    "create": _CREATING_ACTIONS | {"update"},
    "adopt": _CREATING_ACTIONS | {"update"},
    "revise": _CREATING_ACTIONS | {"update", "delete"},
    "replace": _CREATING_ACTIONS | {"update", "delete"},
    "update": frozenset({"update"}),
    "delete": frozenset({"delete"}),
}


def find_uncovered(planned: Iterable[PlannedStep], steps: Iterable[PlannedStep]) -> list[str]:
    """Describe every action and field of `steps` that the planned steps don't cover; empty if they cover all."""
    by_object: dict[tuple[str, str, str], list[PlannedStep]] = {}
    for step in planned:
        if not step.held:
            by_object.setdefault((step.environment, step.resource, step.name), []).append(step)
    return [
        line
        for step in steps
        for line in _missing_coverage(by_object.get((step.environment, step.resource, step.name), ()), step)
    ]


def _missing_coverage(planned: Sequence[PlannedStep], step: PlannedStep) -> Iterator[str]:
    if not any(step.action in _ALLOWED_ACTIONS[other.action] for other in planned):
        paths = ", ".join(change.path for change in step.changes)
        yield f"{step.action} {step.object}{f' ({paths})' if step.action == 'update' else ''}"
        return
    if step.action == "delete":
        # A replacement also deletes its predecessor. A planned deletion covers only the same object.
        if not any(other.action != "delete" or other.changes == step.changes for other in planned):
            yield f"{step.action} {step.object} ({', '.join(f'{change.path} {change.old}' for change in step.changes)})"
        return
    values = [(change.path.split("."), change.new) for other in planned for change in other.changes]
    for change in step.changes:
        if not any(_covers(path, value, change.path.split("."), change.new) for path, value in values):
            yield f"{step.action} {step.object}: {change.path}"


def _covers(path: Sequence[str], value: Value, step_path: Sequence[str], new: Value) -> bool:
    """Return whether a planned value at its path equals, or leaves unknown, what a step sets at its own path."""
    if path[: len(step_path)] == step_path and len(path) > len(step_path):
        return _covers_below(path[len(step_path) :], value, new)
    if step_path[: len(path)] != path:
        return False
    for name in step_path[len(path) :]:
        if value == NOT_KNOWN:
            return True
        value = _child(value, name)
    return _matches(value, new)


def _covers_below(path: Sequence[str], value: Value, new: Value) -> bool:
    """Return whether a value that was planned at a deeper path is part of the whole that a step sets."""
    for name in path:
        new = _child(new, name)
    return _matches(value, new)


def _child(value: Value, name: str) -> Value:
    if isinstance(value, Mapping):
        return value.get(name, NOT_THERE)
    if isinstance(value, list | tuple):
        return next((one for one in value if isinstance(one, Mapping) and name in one.values()), NOT_THERE)
    return NOT_THERE


def _matches(planned: Value, value: Value) -> bool:
    """Return whether two values are equal, except where the planned one is unknown.

    Lists may be in any order; an empty value equals an absent one.
    """
    if planned in (NOT_KNOWN, value):
        return True
    if isinstance(planned, Mapping) and isinstance(value, Mapping):
        names = planned.keys() | value.keys()
        return all(_matches(planned.get(name, NOT_THERE), value.get(name, NOT_THERE)) for name in names)
    if isinstance(planned, list | tuple) and isinstance(value, list | tuple):
        return len(planned) == len(value) and _match_unordered(list(planned), list(value))
    return _is_empty(planned) and _is_empty(value)


def _match_unordered(planned: list[Value], values: list[Value]) -> bool:
    """Return whether each value matches a planned one of its own; planned values without unknowns match first."""
    for one in sorted(planned, key=lambda value: NOT_KNOWN in str(value)):
        at = next((index for index, value in enumerate(values) if _matches(one, value)), None)
        if at is None:
            return False
        del values[at]
    return True


def _is_empty(value: Value) -> bool:
    return value is None or value in (NOT_THERE, [], {}, ())
