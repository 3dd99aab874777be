"""Profile a training channel, column by column: the ranges that a model has seen, for its manifest and for drift."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from itertools import pairwise
from math import fsum

from inference_server.manifest import Feature, Histogram

MAX_BINS = 10


def profile_features(names: Sequence[str], channel: bytes) -> tuple[Feature, ...]:
    """Describe the columns after the label of a header-less CSV channel; `names` are in the channel's order."""
    rows = (line.split(",") for line in channel.decode().splitlines())
    _, *columns = zip(*rows, strict=True)
    return tuple(_profile_column(name, column) for name, column in zip(names, columns, strict=True))


def build_histogram(values: Iterable[float]) -> Histogram | None:
    """Count values between their own quantiles, in ten bins at most; None if fewer than two values differ."""
    ranked = sorted(values)
    if not ranked:
        return None
    edges = tuple(sorted({ranked[round(i * (len(ranked) - 1) / MAX_BINS)] for i in range(MAX_BINS + 1)}))
    if len(edges) == 1:
        return None
    starts = [bisect_left(ranked, edge) for edge in edges[:-1]]
    return Histogram(edges, tuple(end - start for start, end in pairwise([*starts, len(ranked)])))


def _profile_column(name: str, column: Sequence[str]) -> Feature:
    values = [float(cell) for cell in column if cell]
    missing = len(column) - len(values)
    if not values:
        return Feature(name, missing=missing)
    low, high = min(values), max(values)
    # Rounding may put the mean of equal numbers just beside them.
    mean = min(max(fsum(values) / len(values), low), high)
    return Feature(name, low, high, mean, missing, build_histogram(values))
