"""Text with positions: which line and column a path of a document came from. No YAML is parsed here."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from controller.errors import Problem
from controller.spec.findings import Path

# What YAML 1.1, and so PyYAML's marks, count as the end of a line.
_LINE_END = re.compile("\r\n|[\n\r\x85\u2028\u2029]")
_UNPRINTABLE = re.compile(r"[^\x20-\x7e\xa0-\ud7ff\ue000-\U0010ffff]")
_WIDEST = 160


def _printable(text: str) -> str:
    """Keep what a file says from steering the terminal."""
    return _UNPRINTABLE.sub(" ", text)


@dataclass(frozen=True, slots=True)
class Place:
    """Where something stands in a file; everything counts from 1."""

    line: int
    column: int
    width: int = 1


@dataclass(frozen=True)
class Source:
    """One file: its text, its path as people know it, and what reads a file by such a path.

    `read` raises DataError. Whether files lie in a directory or in a commit is known to it alone.
    """

    text: str
    file: str
    read: Callable[[str], bytes]

    @cached_property
    def lines(self) -> tuple[str, ...]:
        """The text's lines, as YAML counts them."""
        return tuple(_LINE_END.split(self.text))

    def line(self, number: int) -> str:
        """Return a line, counted from 1; empty beyond the end."""
        return self.lines[number - 1] if number <= len(self.lines) else ""

    def problem(self, place: Place, message: str, hint: str = "") -> Problem:
        """Make a Problem that shows the line, unless the line is too long to show."""
        shown = _printable(self.line(place.line)[:_WIDEST]) if place.column <= _WIDEST else ""
        width = max(1, min(place.width, len(shown) - place.column + 1))
        return Problem(self.file, place.line, place.column, _printable(message), _printable(hint), shown, width)


@dataclass(frozen=True)
class Document:
    """One YAML document as plain values, with the place of every key and every value by its path."""

    value: Any
    source: Source
    keys: Mapping[Path, Place] = field(default_factory=dict)
    values: Mapping[Path, Place] = field(default_factory=dict)

    def key(self, path: Path) -> Place:
        """Where the key at `path` stands, or the nearest one above it that exists."""
        while path and path not in self.keys and path not in self.values:
            path = path[:-1]
        return self.keys.get(path) or self.values[path]

    def at(self, path: Path) -> Place:
        """Where a scalar at `path` stands; for a list or mapping, and for what is left out, the nearest key."""
        while path and path not in self.values:
            path = path[:-1]
        return self.key(path) if isinstance(self.get(path), dict | list) else self.values[path]

    def has(self, path: Path) -> bool:
        """Whether the document says something at `path`."""
        return path in self.values

    def get(self, path: Path) -> Any:
        """Return the value at `path`, which exists."""
        value = self.value
        for step in path:
            value = value[step]
        return value
