"""The constraints that AWS checks and boto3 does not: patterns, enumerations, ranges and lengths of every member.

On the caller's side, botocore checks types, required members and minimum lengths only. The service checks its whole
model. moto checks little of it.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Mapping
from typing import Any

from moto.core.utils import get_service_model

from embedded_aws.api_call import ApiCall, ApiError


def validate_input(call: ApiCall, code: str = "ValidationException") -> None:
    """Raise ApiError when the call's input breaks the service's model.

    The text is that of all AWS's generated services.
    """
    shape = get_service_model(call.service).operation_model(call.operation).input_shape
    problems = list(_violations(shape, call.params, ""))
    if problems:
        plural = "" if len(problems) == 1 else "s"
        raise ApiError(code, f"{len(problems)} validation error{plural} detected: " + "; ".join(problems))


def _violations(shape: Any, value: Any, path: str) -> Iterator[str]:
    for rule, broken in _evaluate_rules(shape, value):
        if broken:
            yield f"Value '{value}' at '{path}' failed to satisfy constraint: {rule}"
    if shape.type_name == "structure":
        for name in value.keys() & shape.members.keys():
            yield from _violations(shape.members[name], value[name], _join_path(path, name))
    elif shape.type_name == "list":
        for index, item in enumerate(value, 1):
            yield from _violations(shape.member, item, f"{path}.{index}.member")
    elif shape.type_name == "map":
        yield from _map_violations(shape, value, path)


def _map_violations(shape: Any, value: Mapping[str, Any], path: str) -> Iterator[str]:
    for key, item in value.items():
        yield from _violations(shape.key, key, path)
        yield from _violations(shape.value, item, f"{path}.{key}.member")


def _evaluate_rules(shape: Any, value: Any) -> Iterator[tuple[str, bool]]:
    """Yield each rule of the shape in AWS's words, and whether the value breaks it."""
    rules = shape.metadata
    sized = shape.type_name in {"string", "list", "map", "blob"}
    size, word = (len(value), "length") if sized else (value, "value")
    if shape.type_name in {"structure", "boolean", "timestamp"} or size is None:
        return
    if "min" in rules:
        yield f"Member must have {word} greater than or equal to {rules['min']}", size < rules["min"]
    if "max" in rules:
        yield f"Member must have {word} less than or equal to {rules['max']}", size > rules["max"]
    if "pattern" in rules and (pattern := _compile_pattern(rules["pattern"])):
        yield f"Member must satisfy regular expression pattern: {rules['pattern']}", not pattern.fullmatch(value)
    if rules.get("enum"):
        yield f"Member must satisfy enum value set: [{', '.join(rules['enum'])}]", value not in rules["enum"]


@functools.cache
def _compile_pattern(pattern: str) -> re.Pattern[str] | None:
    """Compile a pattern of the model. Return None for one in Java's own dialect: it stays unchecked."""
    try:
        return re.compile(pattern)
    except re.error:
        return None


def _join_path(path: str, name: str) -> str:
    name = name[0].lower() + name[1:]
    return f"{path}.{name}" if path else name
