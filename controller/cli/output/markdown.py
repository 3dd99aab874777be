"""GitHub's Markdown: text that stays text, values that stay values, tables, and blocks that fit into so much room. Pure.

Who writes a spec, or a tag in AWS, mustn't write what reviewers read: nothing of theirs is markup, a link or a mention here.
Rules: https://github.github.com/gfm/
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

# A space without width: no name and no number follows, so nobody is called and nothing is referred to.
_NOTHING = "\u200b"
# What could begin something: markup, HTML, a link, a mention, a reference to an issue.
_ESCAPES = {
    **{one: f"\\{one}" for one in "\\`*_{}[]()+!|~$^"},
    "&": "&amp;",
    "<": "&lt;",
    ">": "&gt;",
    ":": "&#58;",
    "@": f"@{_NOTHING}",
    "#": f"\\#{_NOTHING}",
}


def escape_prose(text: str) -> str:
    """Text on one line that is nothing but text."""
    plain = " ".join(escape_invisible(text).split())
    return "".join(_ESCAPES.get(one, one) for one in plain).replace("www.", "www\\.")


def code_span(text: str) -> str:
    """Text as a span of code that nothing in it ends, in a table's cell or elsewhere."""
    plain = escape_invisible(text).replace("`", "\\u0060").replace("|", "\\u007c").strip()
    return f"`{plain}`" if plain else ""


def escape_invisible(text: str) -> str:
    """The text with what can't be seen, or turns what follows around, by its number."""
    return "".join(one if one.isprintable() else " " if one in "\n\t\r" else f"\\u{ord(one):04x}" for one in text)


def table_row(cells: Iterable[str]) -> str:
    """One line of a table; the cells are Markdown already."""
    return f"| {' | '.join(cells)} |"


def table_head(names: Sequence[str]) -> list[str]:
    """The lines that a table begins with."""
    return [table_row(names), f"|{'---|' * len(names)}"]


@dataclass
class ReportBlock:
    """Lines that belong together: some of the rows may be left out, or all with the block itself."""

    head: Sequence[str]
    rows: Sequence[str] = ()
    tail: Sequence[str] = ()
    included: int = field(default=0, init=False)
    shown: bool = field(default=False, init=False)

    def take(self, room: int, size: Callable[[str], int]) -> int:
        """Take as many rows as there is room for, or nothing at all; what room is left."""
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
        """How many rows aren't shown."""
        return len(self.rows) - self.included

    def lines(self) -> Sequence[str]:
        """What is shown."""
        return [*self.head, *self.rows[: self.included], *self.tail] if self.shown else []
