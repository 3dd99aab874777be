"""What values a hyperparameter may take: a number, words, a nested list. No hyperparameter is named here.

A domain says whether it holds a value as YAML gives it, what it expects (`str`), and the same as JSON Schema.
"""

from __future__ import annotations

import ast
import math
import re
from dataclasses import dataclass
from typing import Any

HyperparameterValue = bool | int | float | str


@dataclass(frozen=True)
class Number:
    """An interval; `low_open` and `high_open` leave its ends out. A number may be written as text."""

    low: float | None = None
    high: float | None = None
    low_open: bool = False
    high_open: bool = False
    integer: bool = False

    def accepts(self, value: Any) -> bool:
        """Whether the algorithm takes it."""
        if isinstance(value, bool) or not isinstance(value, int | float | str):
            return False
        try:
            number = int(str(value)) if self.integer else float(value)
        except (ValueError, OverflowError):
            return False
        low = self.low is None or (number > self.low if self.low_open else number >= self.low)
        high = self.high is None or (number < self.high if self.high_open else number <= self.high)
        return math.isfinite(number) and low and high

    def json_schema(self) -> dict[str, Any]:
        """Describe it as JSON Schema."""
        low, high = (
            "exclusiveMinimum" if self.low_open else "minimum",
            "exclusiveMaximum" if self.high_open else "maximum",
        )
        bounds = {low: self.low, high: self.high}
        number = {"type": "integer" if self.integer else "number", **{k: v for k, v in bounds.items() if v is not None}}
        return {"anyOf": [number, {"type": "string", "pattern": r"^[-+]?[0-9.]+([eE][-+]?[0-9]+)?$"}]}

    def __str__(self) -> str:
        """Render as `an integer of at least 1` or `a number in (0, 1]`."""
        word = "an integer" if self.integer else "a number"
        if self.high is None and self.low is None:
            return word
        if self.high is None:
            return f"{word} {'above' if self.low_open else 'of at least'} {self.low:.12g}"
        left, right = "(" if self.low_open else "[", ")" if self.high_open else "]"
        return f"{word} in {left}{self.low:.12g}, {self.high:.12g}{right}"


@dataclass(frozen=True)
class Choice:
    """One of some words; `many` takes several, separated by commas, and metrics with a threshold like `ndcg@5`."""

    words: tuple[str, ...]
    multiple: bool = False

    def accepts(self, value: Any) -> bool:
        """Whether the algorithm takes it."""
        if isinstance(value, bool):
            value = str(value).lower()
        if not isinstance(value, str):
            return False
        return all(map(self._accepts_word, value.split(","))) if self.multiple else value in self.words

    def _accepts_word(self, word: str) -> bool:
        metric, at, threshold = word.partition("@")
        if at:
            return metric in ("error", "ndcg", "map") and re.fullmatch(r"[0-9]+(\.[0-9]+)?", threshold) is not None
        return word in self.words

    def json_schema(self) -> dict[str, Any]:
        """Describe it as JSON Schema."""
        if self.multiple:
            return {"type": "string", "examples": list(self.words)}
        truths = [True, False] if self.words == ("true", "false") else []
        return {"enum": [*self.words, *truths]}

    def __str__(self) -> str:
        """Render as `one of a, b, c`."""
        return f"one of {', '.join(self.words)}" + (", or several separated by commas" if self.multiple else "")


@dataclass(frozen=True)
class NestedList:
    """A list of integers, or with `depth` 2 a list of lists, written as text."""

    example: str
    depth: int
    allowed: tuple[int, ...] | None = None

    def accepts(self, value: Any) -> bool:
        """Whether the algorithm takes it."""
        if not isinstance(value, str) or not re.fullmatch(r"[-0-9,()\[\] ]{1,5000}", value):
            return False
        try:
            return self._accepts_nested(ast.literal_eval(value.strip()), self.depth)
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            return False

    def _accepts_nested(self, value: Any, depth: int) -> bool:
        if depth:
            return (
                isinstance(value, list | tuple)
                and bool(value)
                and all(self._accepts_nested(item, depth - 1) for item in value)
            )
        return type(value) is int and (value in self.allowed if self.allowed else value >= 1)

    def json_schema(self) -> dict[str, Any]:
        """Describe it as JSON Schema."""
        return {"type": "string", "examples": [self.example]}

    def __str__(self) -> str:
        """Render as `text like '[[1, 2]]'`."""
        return f"text like '{self.example}'"


Domain = Number | Choice | NestedList


def integer_range(
    low: float | None = None, high: float | None = None, *, low_open: bool = False, high_open: bool = False
) -> Number:
    """Make an interval of integers."""
    return Number(low, high, low_open, high_open, integer=True)
