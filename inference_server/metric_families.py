"""What metrics look like to those who read them, in Prometheus' terms and without its library.

That library is imported by `exposition.py` when somebody first asks for `/metrics`: it would be a tenth of the start.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

Labels = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Buckets:
    """A histogram's value: cumulative counts by upper edge (text, the last `+Inf`), and the sum of what was seen."""

    counts: Sequence[tuple[str, float]]
    total: float


@dataclass(frozen=True, slots=True)
class MetricFamily:
    """One metric: `samples` pair labels with a number, with Buckets in a histogram, in an info with what it says."""

    kind: Literal["counter", "gauge", "histogram", "info"]
    name: str
    text: str
    samples: Sequence[tuple[Labels, float | Buckets | Labels]]


class MetricSource(Protocol):
    """Whoever has metrics."""

    def collect(self) -> Iterator[MetricFamily]:
        """Give them as they are now."""
