"""What a training channel looks like, column by column: the ranges that a model has seen, for its manifest and for drift."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import fsum

BINS = 10


@dataclass(frozen=True)
class Profile:
    """One column's statistics; None and empty where every value is missing.

    `edges` are quantiles, rising; `counts[i]` is how many values lie in [edges[i], edges[i+1]), the last bin including
    its right edge. A column of one single value has no bins.
    """

    name: str
    missing: int
    min: float | None = None
    max: float | None = None
    mean: float | None = None
    edges: tuple[float, ...] = ()
    counts: tuple[int, ...] = ()


def profiles(names: Sequence[str], channel: bytes) -> tuple[Profile, ...]:
    """Describe the columns of a header-less channel (`Channel.content`), whose columns are `names` in this order."""
    rows = (line.split(",") for line in channel.decode().splitlines())
    return tuple(_profile(name, column) for name, column in zip(names, zip(*rows, strict=True), strict=True))


def _profile(name: str, column: Sequence[str]) -> Profile:
    values = sorted(float(cell) for cell in column if cell)
    missing = len(column) - len(values)
    if not values:
        return Profile(name, missing)
    low, high = values[0], values[-1]
    # A mean of equal numbers may be rounded to just beside them.
    mean = min(max(fsum(values) / len(values), low), high)
    edges = tuple(sorted({values[round(i * (len(values) - 1) / BINS)] for i in range(BINS + 1)}))
    if len(edges) == 1:
        return Profile(name, missing, low, high, mean)
    starts = [bisect_left(values, edge) for edge in edges[:-1]]
    counts = tuple(end - start for start, end in pairwise([*starts, len(values)]))
    return Profile(name, missing, low, high, mean, edges, counts)
