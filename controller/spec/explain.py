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
_WORDS = {str: "text", int: "integer", float: "number", bool: "true or false"}


@dataclass(frozen=True)
class Field:
    """One field: where it is, what it means. `default` is YAML flow text; empty if there is none. `block` is its model."""

    path: str
    doc: str
    takes: str
    default: str
    required: bool
    block: type[BaseModel] | None


def fields(block: type[BaseModel], path: str = "") -> dict[str, Field]:
    """Describe the fields of one model by their names in YAML, in the order they are declared."""
    return {info.alias or name: _field(info, info.alias or name, path) for name, info in block.model_fields.items()}


def walk(block: type[BaseModel], path: str) -> Iterator[Field]:
    """Every field below a model, parents before children."""
    for field in fields(block, path).values():
        yield field
        if field.block:
            yield from walk(field.block, field.path)


def find(path: str) -> Field | None:
    """Look up `modelservice.spec.service.cpu`; the kind in any case, indexes of lists left out. None: no such field."""
    kind, *steps = path.split(".")
    block = next((model for name, model in KINDS.items() if name.lower() == kind.lower()), None)
    if block is None:
        return None
    found = Field(kind.lower(), (block.__doc__ or "").strip(), "mapping", "", True, block)
    for step in steps:
        below = fields(found.block, found.path) if found.block else {}
        if step not in below:
            return None
        found = below[step]
    return found


def _field(info: FieldInfo, name: str, path: str) -> Field:
    block = _block(info.annotation)
    default = "" if info.default in (PydanticUndefined, None) else _shown(info)
    return Field(
        path=f"{path}.{name}" if path else name,
        doc=info.description or "",
        takes=_takes(info),
        default=default,
        required=info.is_required(),
        block=block,
    )


def _block(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((block for argument in get_args(annotation) if (block := _block(argument))), None)


def _shown(info: FieldInfo) -> str:
    default = info.default
    if isinstance(default, BaseModel):
        return ""
    for quantity, _ in _QUANTITIES:
        if _same(info, quantity):
            return _quantity(quantity, default)
    if isinstance(default, tuple):
        default = [item.model_dump(by_alias=True) if isinstance(item, BaseModel) else item for item in default]
    return default if isinstance(default, str) else json.dumps(default)


def _quantity(quantity: Any, value: int) -> str:
    if quantity is units.Cpu:
        return units.show_cpu(value)
    if quantity is units.Memory:
        return units.show_memory(value)
    return f"{value}Gi" if quantity is units.Volume else units.show_duration(value)


def _same(info: FieldInfo, quantity: Any) -> bool:
    wanted = get_args(quantity)[1:]
    return any(item is wanted[0] for item in info.metadata) or any(
        wanted[0] in get_args(argument) for argument in get_args(info.annotation)
    )


def _takes(info: FieldInfo) -> str:
    for quantity, word in _QUANTITIES:
        if _same(info, quantity):
            return word
    return _word(info.annotation)


def _word(annotation: Any) -> str:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin in (Union, types.UnionType):
        words = [_word(argument) for argument in arguments if argument is not type(None)]
        return " or ".join(dict.fromkeys(words))
    if origin is Literal:
        return " or ".join(f"`{argument}`" for argument in arguments)
    if origin is tuple:
        return f"list of {_word(arguments[0])}"
    if origin in (dict, Mapping):
        return f"mapping to {_word(arguments[1])}"
    if hasattr(annotation, "__metadata__"):
        return _word(arguments[0])
    return _WORDS.get(annotation, "mapping")
