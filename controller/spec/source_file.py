"""Text with positions: which line and column a path of a document came from. No YAML is parsed here."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from controller.errors import Problem
from controller.spec.findings import DocumentPath

# What YAML 1.1, and so PyYAML's marks, count as the end of a line.
_LINE_END = re.compile("\r\n|[\n\r\x85\u2028\u2029]")
_UNPRINTABLE = re.compile(r"[^\x20-\x7e\xa0-\ud7ff\ue000-\U0010ffff]")
_MAX_WIDTH = 160


def _printable(text: str) -> str:
    """Keep what a file says from steering the terminal."""
    return _UNPRINTABLE.sub(" ", text)


@dataclass(frozen=True, slots=True)
class SourcePosition:
    """Where something stands in a file; everything counts from 1."""

    line: int
    column: int
    width: int = 1


@dataclass(frozen=True)
class SourceFile:
    """One file: its text, its path as people know it, and what reads a file by such a path.

    `read` raises DataError. Whether files lie in a directory or in a commit is known to it alone.
    """

    text: str
    file: str
    read_file: Callable[[str], bytes]

    @cached_property
    def lines(self) -> tuple[str, ...]:
        """The text's lines, as YAML counts them."""
        return tuple(_LINE_END.split(self.text))

    def line(self, number: int) -> str:
        """Return a line, counted from 1; empty beyond the end."""
        return self.lines[number - 1] if number <= len(self.lines) else ""

    def make_problem(self, position: SourcePosition, message: str, hint: str = "") -> Problem:
        """Make a Problem that shows the line, unless the line is too long to show."""
        shown = _printable(self.line(position.line)[:_MAX_WIDTH]) if position.column <= _MAX_WIDTH else ""
        width = max(1, min(position.width, len(shown) - position.column + 1))
        return Problem(self.file, position.line, position.column, _printable(message), _printable(hint), shown, width)


@dataclass(frozen=True)
class Document:
    """One YAML document as plain values, with the place of every key and every value by its path."""

    value: Any
    source: SourceFile
    key_positions: Mapping[DocumentPath, SourcePosition] = field(default_factory=dict)
    value_positions: Mapping[DocumentPath, SourcePosition] = field(default_factory=dict)

    def key_position(self, path: DocumentPath) -> SourcePosition:
        """Where the key at `path` stands, or the nearest one above it that exists."""
        while path and path not in self.key_positions and path not in self.value_positions:
            path = path[:-1]
        return self.key_positions.get(path) or self.value_positions[path]

    def value_position(self, path: DocumentPath) -> SourcePosition:
        """Where a scalar at `path` stands; for a list or mapping, and for what is left out, the nearest key."""
        while path and path not in self.value_positions:
            path = path[:-1]
        return self.key_position(path) if isinstance(self.get(path), dict | list) else self.value_positions[path]

    def has(self, path: DocumentPath) -> bool:
        """Whether the document says something at `path`."""
        return path in self.value_positions

    def get(self, path: DocumentPath) -> Any:
        """Return the value at `path`, which exists."""
        value = self.value
        for step in path:
            value = value[step]
        return value
