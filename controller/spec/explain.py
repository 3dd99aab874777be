"""The fields of a spec as data, for `moorage explain`, the reference page and did-you-mean. Nothing is printed here."""

from __future__ import annotations

import json
import types
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from controller.spec import units
from controller.spec.models import KINDS

# Types of quantities → how a reader should think of them.
_QUANTITIES: tuple[tuple[Any, str], ...] = (
    (units.Cpu, "CPU size"),
    (units.Memory, "memory size"),
    (units.Volume, "volume size"),
    (units.Duration, "duration"),
    (units.Money, "amount of US dollars"),
)
_TYPE_NAMES = {str: "text", int: "integer", float: "number", bool: "true or false"}


@dataclass(frozen=True)
class FieldDescription:
    """One field: where it is, what it means. `default` is YAML flow text; empty if there is none.

    `block` is its model.
    """

    path: str
    doc: str
    type_name: str
    default: str
    required: bool
    model: type[BaseModel] | None


def describe_fields(model: type[BaseModel], path: str = "") -> dict[str, FieldDescription]:
    """Describe the fields of one model by their names in YAML, in the order they are declared."""
    return {
        info.alias or name: _describe_field(info, info.alias or name, path) for name, info in model.model_fields.items()
    }


def walk_fields(model: type[BaseModel], path: str) -> Iterator[FieldDescription]:
    """Every field below a model, parents before children."""
    for field in describe_fields(model, path).values():
        yield field
        if field.model:
            yield from walk_fields(field.model, field.path)


def find_field(path: str) -> FieldDescription | None:
    """Look up `modelservice.spec.service.cpu`; the kind in any case, indexes of lists left out. None: no such field."""
    kind, *steps = path.split(".")
    block = next((model for name, model in KINDS.items() if name.lower() == kind.lower()), None)
    if block is None:
        return None
    found = FieldDescription(kind.lower(), (block.__doc__ or "").strip(), "mapping", "", True, block)
    for step in steps:
        below = describe_fields(found.model, found.path) if found.model else {}
        if step not in below:
            return None
        found = below[step]
    return found


def _describe_field(info: FieldInfo, name: str, path: str) -> FieldDescription:
    block = _model_of(info.annotation)
    default = "" if info.default in (PydanticUndefined, None) else _format_default(info)
    return FieldDescription(
        path=f"{path}.{name}" if path else name,
        doc=info.description or "",
        type_name=_type_name(info),
        default=default,
        required=info.is_required(),
        model=block,
    )


def _model_of(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((block for argument in get_args(annotation) if (block := _model_of(argument))), None)


def _format_default(info: FieldInfo) -> str:
    default = info.default
    if isinstance(default, BaseModel):
        return ""
    for quantity, _ in _QUANTITIES:
        if _is_quantity(info, quantity):
            return _format_quantity(quantity, default)
    if isinstance(default, tuple):
        default = [item.model_dump(by_alias=True) if isinstance(item, BaseModel) else item for item in default]
    return default if isinstance(default, str) else json.dumps(default)


def _format_quantity(quantity: Any, value: int) -> str:
    if quantity is units.Cpu:
        return units.format_cpu(value)
    if quantity is units.Memory:
        return units.format_memory(value)
    return f"{value}Gi" if quantity is units.Volume else units.format_duration(value)


def _is_quantity(info: FieldInfo, quantity: Any) -> bool:
    wanted = get_args(quantity)[1:]
    return any(item is wanted[0] for item in info.metadata) or any(
        wanted[0] in get_args(argument) for argument in get_args(info.annotation)
    )


def _type_name(info: FieldInfo) -> str:
    for quantity, word in _QUANTITIES:
        if _is_quantity(info, quantity):
            return word
    return _annotation_name(info.annotation)


def _annotation_name(annotation: Any) -> str:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin in (Union, types.UnionType):
        words = [_annotation_name(argument) for argument in arguments if argument is not type(None)]
        return " or ".join(dict.fromkeys(words))
    if origin is Literal:
        return " or ".join(f"`{argument}`" for argument in arguments)
    if origin is tuple:
        return f"list of {_annotation_name(arguments[0])}"
    if origin in (dict, Mapping):
        return f"mapping to {_annotation_name(arguments[1])}"
    if hasattr(annotation, "__metadata__"):
        return _annotation_name(arguments[0])
    return _TYPE_NAMES.get(annotation, "mapping")
