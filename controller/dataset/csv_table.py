"""Read a CSV into columns of canonical numbers, and refuse everything that training would silently misread.

SageMaker's XGBoost takes a header for a row of zeros and stops at text, so both are reported here, with line and
column. This module doesn't know what the numbers are used for.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from itertools import repeat

from controller.errors import DataError

# Plain decimal notation. Python's own float() would also accept "1_000", "infinity" and digits of other scripts.
DECIMAL_NUMBER = re.compile(r"[ \t]*[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?[ \t]*")
# XGBoost computes in float32; a larger number would become infinite, and training would stop.
MAX_FLOAT32 = 3.4028234663852886e38
# Whole numbers up to here are written without a decimal point and read back the same.
MAX_EXACT_INTEGER = 2**53
MISSING_VALUES = "", "nan"


@dataclass(frozen=True)
class CsvTable:
    """The chosen columns, the target first: `columns[i]` holds the canonical numbers of `names[i]`, "" for missing."""

    names: tuple[str, ...]
    columns: tuple[tuple[str, ...], ...]


def read_table(content: bytes, file_name: str, target: str, features: Sequence[str] | None) -> CsvTable:
    """Read the target and the features (None: every other column) out of a CSV with a header.

    Messages call the file `file_name`. An empty cell and `nan` mean missing: allowed in a feature, not in the target.
    Raises DataError for any other cell that isn't a number, and for a file that isn't such a CSV.
    """
    rows = _rows(_text(content, file_name), file_name)
    header = _header(next(rows, (1, [])), file_name)
    names = _select_columns(header, file_name, target, features)
    body = list(_check_widths(rows, len(header), file_name))
    if not body:
        raise DataError("the file has a header and no rows", where=file_name)
    lines = [line for line, _ in body]
    raw = list(zip(*(row for _, row in body), strict=True))
    columns = tuple(
        tuple(
            map(_canonical_number, raw[header.index(column)], lines, repeat(_CellLocation(file_name, column, target)))
        )
        for column in names
    )
    for column, values in zip(names, columns, strict=True):
        if not any(values):
            raise DataError(f"column {column!r} has no value at all", where=file_name, field="features", column=column)
    return CsvTable(names, columns)


@dataclass(frozen=True)
class _CellLocation:
    """The location of a cell, for messages."""

    file: str
    column: str
    target: str

    @property
    def field(self) -> str:
        return "target" if self.column == self.target else "features"


def _text(content: bytes, name: str) -> str:
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise DataError(
            "the file is not UTF-8 text", where=f"{name}:{line}", line=line, hint="save it as CSV with UTF-8 encoding"
        ) from error
    if not text.strip():
        raise DataError("the file is empty", where=name)
    return text


def _rows(text: str, name: str) -> Iterator[tuple[int, list[str]]]:
    """Yield (line number, cells) for each row; blank lines are skipped."""
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    line = 1
    try:
        for row in reader:
            if row:
                yield line, row
            line = reader.line_num + 1
    except csv.Error as error:
        raise DataError("the row can't be read as CSV", where=f"{name}:{line}", line=line, why=str(error)) from error


def _header(first: tuple[int, list[str]], name: str) -> list[str]:
    line, cells = first
    header = [cell.strip() for cell in cells]
    where = f"{name}:{line}"
    if all(_is_numeric(cell) for cell in header):
        raise DataError(
            "the first line holds numbers, not names",
            where=where,
            line=line,
            hint="add a header that names the columns",
        )
    for number, column in enumerate(header, start=1):
        if not (column and column.isprintable()):
            raise DataError(f"column {number} of the header has no readable name", where=where, line=line)
        if header.count(column) > 1:
            raise DataError(f"the header names {column!r} twice", where=where, line=line, column=column)
    return header


def _select_columns(header: list[str], name: str, target: str, features: Sequence[str] | None) -> tuple[str, ...]:
    """Return the target and the features, each once and all in the header."""
    if target not in header:
        raise _unknown_column_error(header, name, target, "target")
    if features is None:
        features = [column for column in header if column != target]
    for column in features:
        if column not in header:
            raise _unknown_column_error(header, name, column, "features")
        if column == target:
            raise DataError(f"the target {target!r} can't be a feature as well", field="features", column=column)
        if list(features).count(column) > 1:
            raise DataError(f"feature {column!r} is listed twice", field="features", column=column)
    if not features:
        raise DataError(f"no feature is left besides the target {target!r}", where=name, field="features")
    return target, *features


def _unknown_column_error(header: list[str], name: str, column: str, field: str) -> DataError:
    close = get_close_matches(column, header, n=1)
    if len(header) == 1 and any(mark in header[0] for mark in ";\t|"):
        hint = "columns must be separated by commas"
    elif close:
        hint = f"did you mean {close[0]!r}?"
    else:
        hint = f"it has {', '.join(header[:20])}{', …' if len(header) > 20 else ''}"
    return DataError(f"no column {column!r}", where=name, field=field, column=column, hint=hint)


def _check_widths(rows: Iterator[tuple[int, list[str]]], width: int, name: str) -> Iterator[tuple[int, list[str]]]:
    for line, row in rows:
        if len(row) != width:
            raise DataError(f"{len(row)} cells where the header has {width}", where=f"{name}:{line}", line=line)
        yield line, row


def _is_numeric(cell: str) -> bool:
    return cell.lower() in MISSING_VALUES or DECIMAL_NUMBER.fullmatch(cell) is not None


def _canonical_number(raw: str, line: int, cell: _CellLocation) -> str:
    """Return the shortest text that reads back as the same number: 41 for "41.0", "4.1e1" and " 41"."""
    if DECIMAL_NUMBER.fullmatch(raw):
        value = float(raw)
        if abs(value) > MAX_FLOAT32:
            raise _cell_error(f"{_abbreviate(raw)} is too large", line, cell, why="XGBoost computes in 32-bit floats")
        return str(int(value)) if value.is_integer() and abs(value) <= MAX_EXACT_INTEGER else repr(value)
    if raw.strip().lower() not in MISSING_VALUES:
        others = "name the features without this column, or leave a missing value empty"
        hint = others if cell.field == "features" else "trees learn a number; encode classes as 0, 1, 2, …"
        raise _cell_error(f"{_abbreviate(raw)} is not a number", line, cell, hint=hint)
    if cell.field == "target":
        raise _cell_error("the target is missing", line, cell, hint="remove the row: training can't learn from it")
    return ""


def _abbreviate(raw: str) -> str:
    return repr(raw if len(raw) <= 40 else raw[:40] + "…")


def _cell_error(what: str, line: int, cell: _CellLocation, why: str = "", hint: str = "") -> DataError:
    return DataError(
        f"column {cell.column!r}: {what}",
        field=cell.field,
        line=line,
        column=cell.column,
        where=f"{cell.file}:{line}",
        why=why,
        hint=hint,
    )
