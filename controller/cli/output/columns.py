"""Align text in columns, and colour status words. Pure: data in, `Text` out."""

from __future__ import annotations

from collections.abc import Sequence

from rich.text import Text

Cell = str | Text

_GOOD = ("Ready", "True", "Normal", "Completed", "Approved", "ACTIVE")
_BAD = ("Failed", "False", "Warning", "Degraded", "Stalled", "Refused")


def align_columns(rows: Sequence[Sequence[Cell]], *, gap: int = 3) -> Text:
    """Align cells in columns, one line for each row. A column is as wide as its widest cell; nothing is truncated."""
    cells = [[cell if isinstance(cell, Text) else Text(cell) for cell in row] for row in rows]
    widths = [
        max((len(row[i]) for row in cells if i < len(row)), default=0) for i in range(max(map(len, cells), default=0))
    ]
    lines = []
    for row in cells:
        line = Text()
        for index, cell in enumerate(row):
            line.append_text(cell)
            if index < len(row) - 1:
                line.append(" " * (widths[index] - len(cell) + gap))
        line.rstrip()
        lines.append(line)
    return Text("\n").join(lines)


def style_status(text: str) -> Text:
    """Colour a status word: green if good, red if bad, else yellow."""
    if text in _GOOD:
        return Text(text, "green")
    return Text(text, "red" if text in _BAD else "yellow")
