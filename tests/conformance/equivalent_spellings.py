"""The ways in which the same fields can be spelled: what AWS fills in left out, in another order, as other types."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping

from controller.core.field_policy import FieldPath as Way
from controller.core.field_policy import FieldPolicy, any_matches, matches, normalise_json_document, normalise_number
from controller.core.values import Value


def _without_defaults(value: Value, policy: FieldPolicy, path: Way) -> Value:
    if isinstance(value, Mapping):
        kept = {name: child for name, child in value.items() if not _is_default(child, policy, (*path, name))}
        return {name: _without_defaults(child, policy, (*path, name)) for name, child in kept.items()}
    if isinstance(value, list):
        return [_without_defaults(element, policy, (*path, "*")) for element in value]
    return value


def _is_default(value: Value, policy: FieldPolicy, path: Way) -> bool:
    return any(matches(pattern, path) and value == default for pattern, default in policy.defaults.items())


def _with_defaults(value: Value, policy: FieldPolicy, path: Way) -> Value:
    if isinstance(value, Mapping):
        below = {
            pattern.rpartition(".")[2]: default
            for pattern, default in policy.defaults.items()
            if matches(pattern, (*path, pattern.rpartition(".")[2]))
        }
        return {name: _with_defaults(child, policy, (*path, name)) for name, child in {**below, **value}.items()}
    if isinstance(value, list):
        return [_with_defaults(element, policy, (*path, "*")) for element in value]
    return value


def _in_another_order(value: Value, policy: FieldPolicy, path: Way) -> Value:
    if isinstance(value, Mapping):
        return {name: _in_another_order(value[name], policy, (*path, name)) for name in reversed(value)}
    if isinstance(value, list):
        elements = [_in_another_order(element, policy, (*path, "*")) for element in value]
        free = any_matches(policy.sets, path) or any(matches(pattern, path) for pattern in policy.keyed)
        return elements[::-1] if free else elements
    return value


def _with_nulls(value: Value, policy: FieldPolicy, path: Way) -> Value:
    if isinstance(value, Mapping):
        return {name: _with_nulls(child, policy, (*path, name)) for name, child in value.items()}
    return None if value == [] and not any_matches(policy.owned, path) else value


def _in_other_types(value: Value, policy: FieldPolicy, path: Way) -> Value:
    rule = next((rule for pattern, rule in policy.normalise.items() if matches(pattern, path)), None)
    if rule is normalise_number and isinstance(value, str) and value.isdecimal():
        return int(value)
    if rule is normalise_json_document and value is not None:
        return json.dumps(value) if isinstance(value, Mapping) else json.loads(value)
    if isinstance(value, Mapping):
        return {name: _in_other_types(child, policy, (*path, name)) for name, child in value.items()}
    return value


EQUIVALENT_SPELLINGS: Mapping[str, Callable[[Value, FieldPolicy, Way], Value]] = {
    "as AWS has it": lambda value, policy, path: value,
    "without defaults": _without_defaults,
    "with defaults": _with_defaults,
    "in another order": _in_another_order,
    "with nulls": _with_nulls,
    "in other types": _in_other_types,
}
