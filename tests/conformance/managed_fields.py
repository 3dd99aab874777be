"""Which fields of a type are managed: what specs declare of it, walked leaf by leaf.

A template is the shape of what is declared: a mapping of templates, a list with the template of its elements, or None
for a leaf.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from controller.core.field_policy import FieldPolicy, any_matches, matches, normalise_json_document
from controller.core.spec_context import SpecContext
from controller.core.values import Value
from controller.resources.base import ResourceRegistry

Steps = tuple[str | int, ...]

# Mappings whose keys are the user's or AWS's, not ours: whatever is in them is managed.
FREE_FORM_FIELDS = ("tags", "dockerLabels", "options", "RequestParameters", "policies", "trust", "policy")


def build_shapes(registry: ResourceRegistry, contexts: Iterable[SpecContext]) -> dict[str, Value]:
    """The shape of what these specs declare, by kind; a kind that only looks has an empty one."""
    found: dict[str, Value] = {}
    for context in contexts:
        for kind, resource in registry.items():
            for node in resource.expand(context):
                found[kind] = _merged(found.get(kind), _shape(node.desired))
    return found


def _shape(value: Value) -> Value:
    if isinstance(value, Mapping):
        return {name: _shape(child) for name, child in value.items()}
    if isinstance(value, list) and value and isinstance(value[0], Mapping):
        merged: Value = None
        for element in value:
            merged = _merged(merged, _shape(element))
        return [merged]
    return None


def _merged(one: Value, other: Value) -> Value:
    if isinstance(one, dict) and isinstance(other, dict):
        return {name: _merged(one.get(name), other.get(name)) for name in {**one, **other}}
    if isinstance(one, list) and isinstance(other, list):
        return [_merged(one[0], other[0])]
    return other if one is None else one


def managed_values(live: Value, template: Value, name: str = "") -> Value:
    """What of a live object's fields its template covers: as adopting it would declare it."""
    if name in FREE_FORM_FIELDS or template is None:
        return copy.deepcopy(live)
    if isinstance(live, Mapping) and isinstance(template, Mapping):
        return {part: managed_values(child, template[part], part) for part, child in live.items() if part in template}
    if isinstance(live, list) and isinstance(template, list):
        return [managed_values(element, template[0]) for element in live]
    return copy.deepcopy(live)


def leaf_paths(value: Value, steps: Steps = ()) -> Iterator[Steps]:
    """The way to every leaf; what is null or empty has none."""
    children: Iterable[tuple[str | int, Value]] = ()
    if isinstance(value, Mapping):
        children = value.items()
    elif isinstance(value, list):
        children = enumerate(value)
    elif value is not None:
        yield steps
    for step, child in children:
        yield from leaf_paths(child, (*steps, step))


def with_edited_leaf(value: Value, steps: Steps) -> Value:
    """A copy in which that leaf is another."""
    return with_value_at(value, steps, different_value(value_at(value, steps)))


def different_value(leaf: Value) -> Value:
    """A value of the same type that isn't the same."""
    if isinstance(leaf, bool):
        return not leaf
    return leaf + 1 if isinstance(leaf, int | float) else f"{leaf}-edited"


def is_list_element_key(steps: Steps, policy: FieldPolicy) -> bool:
    """Whether the leaf is what its keyed list knows the element by: with another name it is another element."""
    if len(steps) < 3 or not isinstance(steps[-2], int):
        return False
    return _key(steps[:-2], policy) == steps[-1]


def reported_path(value: Value, steps: Steps, policy: FieldPolicy) -> str:
    """The path at which a difference in that leaf is told: its own, or that of the list it is in."""
    path: list[str] = []
    place: Any = value
    for number, step in enumerate(steps):
        if any(
            matches(pattern, tuple(path)) and rule is normalise_json_document
            for pattern, rule in policy.normalise.items()
        ):
            place = normalise_json_document(place)
            return ".".join([*path, *_in_document(place, [step for step in steps[number:] if isinstance(step, str)])])
        if isinstance(step, int):
            key = _key(steps[:number], policy)
            if key is None:
                break
            path.append(str(place[step][key]))
        else:
            path.append(step)
        place = place[step]
    return ".".join(path)


def _in_document(place: Any, names: list[str]) -> Iterator[str]:
    """The way into a document, whose lists of several are compared as one."""
    for name in names:
        if not isinstance(place, Mapping):
            return
        yield name
        place = place[name]


def _key(steps: Steps, policy: FieldPolicy) -> str | None:
    path = tuple("*" if isinstance(step, int) else step for step in steps)
    return next((key for pattern, key in policy.keyed.items() if matches(pattern, path)), None)


def managed_paths(live: Value, declared: Value, policy: FieldPolicy) -> dict[str, Steps]:
    """Every managed field of a live object as the diff tells it, and the way to it.

    A document, a set, and a list that is compared as one are one field; so is a collection of ours alone that is empty.
    """
    shape = _shape(declared)
    found: dict[str, Steps] = {}
    for steps in (*leaf_paths(managed_values(live, shape)), *_empty_fields(live, policy)):
        if not is_list_element_key(steps, policy):
            cut = _without(live, steps, policy)
            found[reported_path(live, cut, policy)] = cut
    return found


def _empty_fields(live: Mapping[str, Value], policy: FieldPolicy) -> Iterator[Steps]:
    yield from ((name,) for name, value in live.items() if value in ([], {}) and any_matches(policy.owned, (name,)))


def _without(live: Value, steps: Steps, policy: FieldPolicy) -> Steps:
    place = live
    for number, step in enumerate(steps):
        path = tuple("*" if isinstance(before, int) else before for before in steps[:number])
        if any(
            matches(pattern, path) and rule is normalise_json_document for pattern, rule in policy.normalise.items()
        ):
            return steps[:number]
        if isinstance(step, int) and _key(steps[:number], policy) is None:
            return steps[:number]
        place = place[step]
    return steps


def value_at(value: Value, steps: Steps, default: Value = None) -> Value:
    """What is there, or the default."""
    for step in steps:
        if isinstance(value, Mapping) and step not in value:
            return default
        value = value[step]
    return value


def with_value_at(value: Value, steps: Steps, new: Value) -> Value:
    """A copy with something else there."""
    result = copy.deepcopy(value)
    place: Any = result
    for step in steps[:-1]:
        place = place[step]
    place[steps[-1]] = new
    return result
