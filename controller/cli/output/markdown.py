"""Write GitHub's Markdown: escaped text, code spans, tables, and blocks that fit into a size limit. Pure.

Specs and AWS tags are untrusted here. Escaping keeps their text from becoming markup, a link or a mention in a review.
Rules: https://github.github.com/gfm/
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

# A zero-width space after `@` or `#` keeps GitHub from reading a mention or a reference.
_ZERO_WIDTH_SPACE = "\u200b"
# Characters that could begin markup, HTML, a link, a mention or a reference to an issue.
_ESCAPES = {
    **{one: f"\\{one}" for one in "\\`*_{}[]()+!|~$^"},
    "&": "&amp;",
    "<": "&lt;",
    ">": "&gt;",
    ":": "&#58;",
    "@": f"@{_ZERO_WIDTH_SPACE}",
    "#": f"\\#{_ZERO_WIDTH_SPACE}",
}


def escape_prose(text: str) -> str:
    """Return the text on one line, with all markup escaped."""
    plain = " ".join(escape_invisible(text).split())
    return "".join(_ESCAPES.get(one, one) for one in plain).replace("www.", "www\\.")


def code_span(text: str) -> str:
    """Return the text as a code span that nothing in it can end, in a table cell or elsewhere."""
    plain = escape_invisible(text).replace("`", "\\u0060").replace("|", "\\u007c").strip()
    return f"`{plain}`" if plain else ""


def escape_invisible(text: str) -> str:
    r"""Replace invisible characters and those that reverse the text's direction by `\\uXXXX`, line ends by spaces."""
    return "".join(map(_escape_character, text))


def _escape_character(one: str) -> str:
    if one.isprintable():
        return one
    return " " if one in "\n\t\r" else f"\\u{ord(one):04x}"


def table_row(cells: Iterable[str]) -> str:
    """Return one row of a table; the cells are Markdown already."""
    return f"| {' | '.join(cells)} |"


def table_head(names: Sequence[str]) -> list[str]:
    """Return the header lines of a table."""
    return [table_row(names), f"|{'---|' * len(names)}"]


@dataclass
class ReportBlock:
    """Lines that belong together: a size limit can drop some of the rows, or the whole block."""

    head: Sequence[str]
    rows: Sequence[str] = ()
    tail: Sequence[str] = ()
    included: int = field(default=0, init=False)
    shown: bool = field(default=False, init=False)

    def take(self, room: int, size: Callable[[str], int]) -> int:
        """Include as many rows as fit into `room`, or drop the block, and return the remaining room."""
        room_left = room - sum(size(line) + 1 for line in (*self.head, *self.tail))
        if room_left < 0:
            return room
        self.included = 0
        for line in self.rows:
            if size(line) + 1 > room_left:
                break
            room_left -= size(line) + 1
            self.included += 1
        if self.rows and not self.included:
            return room
        self.shown = True
        return room_left

    @property
    def omitted(self) -> int:
        """The number of rows that aren't shown."""
        return len(self.rows) - self.included

    def lines(self) -> Sequence[str]:
        """Return the lines that are shown."""
        return [*self.head, *self.rows[: self.included], *self.tail] if self.shown else []
