"""Parsing CSV into rows. The signature decides the meaning of a number and whether it fits.

The first line may name the features, in any order. An empty cell, `nan`, `na` or `null` is a missing value.
"""

from __future__ import annotations

import codecs
import csv
import math
import re
from collections.abc import Iterator, Sequence
from typing import Final

import orjson

from inference_server.errors import InvalidInputError, MalformedError
from inference_server.signature import Rows, Signature

# The bytes of numbers. Rows without other bytes need no inspection cell by cell.
_NUMBER_BYTES: Final = b"0123456789.eE+- \t"
_CHUNK_SIZE: Final = 16 * 1024  # bytes
_NUMBER: Final = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?|[+-]?inf(inity)?|nan", re.IGNORECASE).fullmatch
_MISSING: Final = frozenset({"", "nan", "na", "null"})


def parse(signature: Signature, body: bytes, where: str = "row") -> Rows:
    """Parse comma-separated rows. Raise MalformedError for invalid text, InvalidInputError for rows that don't fit."""
    lines = body.removeprefix(codecs.BOM_UTF8).replace(b"\r\n", b"\n").strip(b"\n")
    if rows := _parse_numbers(signature, lines):
        return rows
    try:
        text = body.decode("utf-8-sig").replace("\r\n", "\n").strip("\n")
    except UnicodeDecodeError as error:
        raise MalformedError(f"the body is not UTF-8 text (byte {error.start})") from None
    if not text.strip():
        raise InvalidInputError("the body has no rows", where)
    return _parse_cells(signature, text, where)


def _parse_numbers(signature: Signature, lines: bytes) -> Rows | None:
    """Parse complete rows that hold only numbers. Return None otherwise; `_parse_cells` then reports the error."""
    separators = lines.translate(None, _NUMBER_BYTES) + b"\n"
    row = b"," * (signature.width - 1) + b"\n"
    count = len(separators) // len(row)
    if separators != row * count:
        return None
    try:
        # Gives the same numbers as `float` in a fifth of the time.
        packed = [signature.pack(orjson.loads(chunk), "").data for chunk in _json_chunks(lines)]
    except (orjson.JSONDecodeError, InvalidInputError):
        return None  # e.g. an empty cell; `.5`, `+1` and `007` are numbers, but not in JSON
    return Rows(b"".join(packed), count)


def _json_chunks(lines: bytes) -> Iterator[bytes]:
    """Yield a few whole lines at a time as a JSON array: all at once would need many times the memory of the rows."""
    start = 0
    while start < len(lines):
        end = lines.find(b"\n", start + _CHUNK_SIZE)
        end = len(lines) if end < 0 else end
        yield b"[" + lines[start:end].replace(b"\n", b",") + b"]"
        start = end + 1


def _parse_cells(signature: Signature, text: str, where: str) -> Rows:
    """Parse cell by cell, to handle a header, quotes and missing values and to locate errors."""
    try:
        table = [row for row in csv.reader(text.split("\n"), strict=True) if row]
    except csv.Error as error:
        raise MalformedError(f"the body is not CSV: {error}") from None
    order = _header_order(signature, table[0]) if table else None
    if order:
        table = [_reorder(signature, row, order, f"{where}[{index}]") for index, row in enumerate(table[1:])]
    if not table:
        raise InvalidInputError("the body has no rows", where)
    for index, row in enumerate(table):
        signature.check_width(len(row), f"{where}[{index}]")
    cells = [cell for row in table for cell in row]
    return signature.pack([_parse_cell(signature, cell, index, where) for index, cell in enumerate(cells)], where)


def _header_order(signature: Signature, first: Sequence[str]) -> list[int] | None:
    """Return each feature's column if the first line names all features, None if it names none."""
    names = [cell.strip() for cell in first]
    known = set(names) & set(signature.names)
    if not known:
        return None
    for name in signature.names:
        if name not in known:
            raise InvalidInputError(f"the header has no column {name!r}", f"header.{name}")
    if len(names) != signature.width:
        unknown = next((name for name in names if name not in known), "")
        raise InvalidInputError(f"the header has an unknown or duplicate column {unknown[:80]!r}", "header")
    return [names.index(name) for name in signature.names]


def _reorder(signature: Signature, row: Sequence[str], order: Sequence[int], where: str) -> list[str]:
    signature.check_width(len(row), where)
    return [row[column] for column in order]


def parse_number(text: str) -> float:
    """Parse one number. Raise ValueError for any other text; float() alone would accept `1_000`."""
    if not _NUMBER(text):
        raise ValueError
    return float(text)


def _parse_cell(signature: Signature, cell: str, index: int, where: str) -> float:
    text = cell.strip()
    if text.lower() in _MISSING:
        return math.nan
    try:
        return parse_number(text)
    except ValueError:
        location = signature.locate(index, where)
        raise InvalidInputError(f"must be a number or empty, is the string {text[:40]!r}", location) from None
