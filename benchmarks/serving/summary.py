"""Figures of repeated measurements: a median with its extremes, and percentiles of many values. No measuring here."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Spread:
    """The median of some rounds, and the least and the most of them."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Sum up rounds."""
        return cls(statistics.median(values), min(values), max(values))

    @classmethod
    def ratio(cls, ours: Sequence[float], theirs: Sequence[float]) -> Spread:
        """Sum up the ratios of rounds that were measured side by side, pair by pair."""
        return cls.of([our / their for our, their in zip(ours, theirs, strict=True)])


def percentile(ordered: Sequence[float], share: float) -> float | None:
    """Give the value that `share` of the sorted values don't exceed; None of none."""
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else None
