"""The metric types that exporters read, in Prometheus's terms but without its library.

`exposition.py` imports that library at the first request for `/metrics`: it would take a tenth of the start.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

Labels = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Buckets:
    """A histogram's value: cumulative counts by upper edge (as text, the last `+Inf`), and the sum of observations."""

    counts: Sequence[tuple[str, float]]
    total: float


@dataclass(frozen=True, slots=True)
class MetricFamily:
    """One metric: `samples` pair labels with a number, with Buckets for a histogram, with labels for an info."""

    kind: Literal["counter", "gauge", "histogram", "info"]
    name: str
    text: str
    samples: Sequence[tuple[Labels, float | Buckets | Labels]]


class MetricSource(Protocol):
    """A component that provides metrics."""

    def collect(self) -> Iterator[MetricFamily]:
        """Yield the current metrics."""
