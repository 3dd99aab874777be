"""Text in columns, and the colours that words of status have. Pure: data in, `Text` out."""

from __future__ import annotations

from collections.abc import Sequence

from rich.text import Text

Cell = str | Text

_GOOD = ("Ready", "True", "Normal", "Completed", "Approved", "ACTIVE")
_BAD = ("Failed", "False", "Warning", "Degraded", "Stalled", "Refused")


def align_columns(rows: Sequence[Sequence[Cell]], *, gap: int = 3) -> Text:
    """Align cells in columns as wide as they need to be, a line for each row; nothing is cut off."""
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
    """Colour a word of status."""
    style = "green" if text in _GOOD else "red" if text in _BAD else "yellow"
    return Text(text, style)
