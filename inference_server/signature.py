"""The model's signature: the form of an input row, and the packing of rows into 32-bit floats.

Every protocol passes its rows through this module, so errors have the same messages everywhere. A few calls over all
values check the common, valid case; a loop locates the error only if there is one.
This module knows neither HTTP nor the syntax of bodies; `csv_rows.py` parses text.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from itertools import chain
from operator import itemgetter
from typing import Any, Final

from inference_server.errors import InvalidInputError, RowWidthError

_NUMBERS: Final = frozenset({float, int})
_NUMBERS_OR_NULL: Final = frozenset({float, int, type(None)})
_TYPE_NAMES: Final = {dict: "an object", list: "a list", str: "a string", bool: "true or false", type(None): "null"}
_FLOAT: Final = 4  # bytes
_INFINITY, _MINUS_INFINITY = struct.pack("<f", math.inf), struct.pack("<f", -math.inf)
TOO_LARGE: Final = 3.4028235677973366e38  # from here on, a 32-bit float is infinite
LARGEST_CODE: Final = 2**24 - 1  # from 2**24 on, 32-bit floats skip whole numbers


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows ready for the engine: `data` holds `count` rows of little-endian 32-bit floats, NaN for missing."""

    data: bytes
    count: int


class Signature:
    """Names and order of the features. `categorical` are the model's feature types, where `c` marks a category code."""

    def __init__(self, names: Sequence[str], categorical: Sequence[str] = ()) -> None:
        self.names = tuple(names)
        self.width = len(self.names)
        self._categories = [index for index, kind in enumerate(categorical) if kind == "c"]
        self._values_by_name = _values_getter(self.names)

    def rows(self, instances: Sequence[Any], where: str = "instances") -> Rows:
        """Pack instances: all lists in the model's order or all objects by name. Raise InvalidInputError."""
        kinds = set(map(type, instances))
        if kinds == {dict}:
            return self._objects(instances, where)
        if kinds == {list}:
            return self._lists(instances, where)
        if not instances:
            raise InvalidInputError("the body has no rows", where)
        for index, instance in enumerate(instances):
            if not isinstance(instance, dict | list):
                raise InvalidInputError(
                    f"must be a row: a list of {self.width} values or an object by feature name, "
                    f"is {_describe_value(instance)}",
                    f"{where}[{index}]",
                )
        raise InvalidInputError("mixes lists and objects; use one form", where)

    def _objects(self, instances: Sequence[Mapping[str, Any]], where: str) -> Rows:
        if set(map(len, instances)) == {self.width}:
            try:
                return self._lists(list(map(self._values_by_name, instances)), where)
            except KeyError:
                pass  # as many names as features, but one is unknown
        for index, instance in enumerate(instances):
            self._raise_unknown_name(instance, f"{where}[{index}]")
        raise AssertionError("one instance has an unknown or a missing name")

    def _raise_unknown_name(self, instance: Mapping[str, Any], where: str) -> None:
        for name in instance.keys() - set(self.names):
            near = get_close_matches(name, self.names, 1)
            hint = f"; did you mean {near[0]!r}?" if near else f"; the model takes: {', '.join(self.names)}"
            raise InvalidInputError(f"{name[:80]!r} is not a feature{hint}", f"{where}.{name[:80]}")
        for name in self.names:
            if name not in instance:
                raise InvalidInputError(
                    f"feature {name!r} is missing; write null for a missing value", f"{where}.{name}"
                )

    def _lists(self, instances: Sequence[Sequence[Any]], where: str) -> Rows:
        if set(map(len, instances)) != {self.width}:
            for index, instance in enumerate(instances):
                self.check_width(len(instance), f"{where}[{index}]")
        return self.pack_values(list(chain.from_iterable(instances)), where)

    def pack_values(self, values: Sequence[Any], where: str) -> Rows:
        """Pack the values of whole rows, None for missing. Raise InvalidInputError for a value that isn't a number."""
        kinds = set(map(type, values))
        if kinds <= _NUMBERS_OR_NULL:
            if not kinds <= _NUMBERS:
                values = [math.nan if value is None else value for value in values]
            return self.pack(values, where)
        raise self._invalid_value(values, where)

    def check_width(self, width: int, where: str) -> None:
        """Raise RowWidthError unless a row has `width` values; name the first feature without a value."""
        if width < self.width:
            raise RowWidthError(
                f"has {width} values, the model takes {self.width}: no value for {self.names[width]!r} "
                f"(order: {', '.join(self.names)})",
                f"{where}.{self.names[width]}",
            )
        if width > self.width:
            raise RowWidthError(
                f"has {width} values, the model takes {self.width} (order: {', '.join(self.names)})", where
            )

    def pack(self, values: Sequence[float], where: str) -> Rows:
        """Pack numbers, row by row, NaN for missing. Raise InvalidInputError for one that a 32-bit float can't hold."""
        try:
            data = struct.pack(f"<{len(values)}f", *values)
        except (OverflowError, struct.error):
            raise self._invalid_value(values, where) from None
        if _has_infinity(data):
            raise self._invalid_value(values, where)
        if self._categories:
            self._check_codes(values, where)
        return Rows(data, len(values) // self.width)

    def accept_packed(self, data: bytes, where: str) -> Rows:
        """Accept rows that are already packed, after the same checks."""
        if _has_infinity(data) or self._categories:
            return self.pack(struct.unpack(f"<{len(data) // _FLOAT}f", data), where)
        return Rows(data, len(data) // (_FLOAT * self.width))

    def locate(self, index: int, where: str) -> str:
        """Return the position of the value at `index`, counted through all rows: `instances[3].longitude`."""
        return f"{where}[{index // self.width}].{self.names[index % self.width]}"

    def _check_codes(self, values: Sequence[float], where: str) -> None:
        for column in self._categories:
            for index in range(column, len(values), self.width):
                value = values[index]
                if not math.isnan(value) and not (0 <= value <= LARGEST_CODE and value % 1 == 0):
                    raise InvalidInputError(
                        f"must be a category's code (0, 1, 2 …) or null, is {value:g}", self.locate(index, where)
                    )

    def _invalid_value(self, values: Sequence[Any], where: str) -> InvalidInputError:
        for index, value in enumerate(values):
            if type(value) not in _NUMBERS_OR_NULL:
                return InvalidInputError(
                    f"must be a number or null, is {_describe_value(value)}", self.locate(index, where)
                )
            if value is not None and abs(value) >= TOO_LARGE:
                return InvalidInputError(
                    f"must be a finite number that a 32-bit float can hold, is {_describe_value(value)}",
                    self.locate(index, where),
                )
        raise AssertionError("one value is wrong")


def _values_getter(names: tuple[str, ...]) -> Callable[[Mapping[str, Any]], Sequence[Any]]:
    """Return the function from an object to its values in the model's order."""
    if len(names) == 1:
        only = names[0]
        return lambda instance: (instance[only],)
    return itemgetter(*names)


def _has_infinity(data: bytes) -> bool:
    """Return whether packed values contain an infinity."""
    return _contains_value(data, _INFINITY) or _contains_value(data, _MINUS_INFINITY)


def _contains_value(data: bytes, value: bytes) -> bool:
    """Return whether packed values contain one value; the same bytes across two values don't count."""
    offset = data.find(value)
    while offset >= 0 and offset % _FLOAT:
        offset = data.find(value, offset + 1)
    return offset >= 0


def _describe_value(value: object) -> str:
    """Describe one invalid value, shortened; containers only by their type."""
    kind = _TYPE_NAMES.get(type(value), type(value).__name__)
    if isinstance(value, str):
        return f"the string {value[:40]!r}"
    if isinstance(value, float):
        return f"{value:.6g}"
    return str(value)[:40] if type(value) is int else kind
