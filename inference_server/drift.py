"""Drift: the distance of recent rows from the training rows, per feature and for the prediction.

Each value increments a cell: below the training range, a bin of the training histogram, above the range, or missing.
The counts only increase and live in the shared counters. The content of a window is the difference to an earlier
snapshot, so a row costs one search and one addition per value. The window slides in tenths, over rows, not time.

The distance is the population stability index: the sum of (now - then) * ln(now / then) over the shares of the bins.
Outliers count in the outer bins, because the index measures the bulk. Missing values have a bin of their own.
"""

from __future__ import annotations

import math
from array import array
from bisect import bisect_right
from collections import deque
from collections.abc import Iterator, Sequence
from ctypes import c_float
from dataclasses import dataclass, replace
from itertools import accumulate
from operator import sub
from typing import Any, Final

import orjson

from inference_server.manifest import Feature, Histogram, Manifest
from inference_server.metric_families import Labels, MetricFamily
from inference_server.metrics import SharedCounters

# The usual thresholds of the index.
MODERATE: Final = 0.1
SHIFTED: Final = 0.25

_WINDOW_SLICES: Final = 10
# Of a larger batch, this many evenly spaced rows are counted, each weighted for its neighbours.
_MAX_SAMPLED_ROWS: Final = 256
_MIN_SHARE: Final = 1e-4  # a share of 0 would make the index infinite


@dataclass(frozen=True, slots=True)
class ColumnDrift:
    """The drift of one column over the window. `psi` is None while unknown; shares refer to the rows in the window.

    `training` and `window` are shares by bin, without missing values.
    """

    name: str
    below: float
    above: float
    missing: float
    psi: float | None = None
    edges: tuple[float, ...] = ()
    training: tuple[float, ...] = ()
    window: tuple[float, ...] = ()

    @property
    def level(self) -> str:
        """Usual interpretation of the index."""
        if self.psi is None:
            return "unknown"
        if self.psi < MODERATE:
            return "stable"
        return "moderate" if self.psi < SHIFTED else "shifted"


class _Column:
    """The cells of one feature or of the prediction: below, bins, above and missing, in the slots from `first` on."""

    def __init__(self, name: str, ends: Sequence[float], histogram: Histogram | None, missing: int | None) -> None:
        self.name, self.first = name, 0
        self._histogram, self._training_missing = histogram, missing
        edges = histogram.edges if histogram else ends
        # Rows are 32-bit floats, so edges are rounded likewise; the last bin includes its right edge.
        rounded = [c_float(edge).value for edge in edges]
        self.edges = [*rounded[:-1], math.nextafter(rounded[-1], math.inf)] if rounded else []
        self.cells = len(self.edges) + 2

    def split(self, counts: Sequence[float]) -> tuple[float, list[float], float, float]:
        """Split counts into below, bins, above and missing. Without a known range, one bin holds all present values."""
        *present, missing = counts
        if not self.edges:
            return 0, present, 0, missing
        below, *bins, above = present
        return below, bins, above, missing

    def read(self, counts: Sequence[float], minimum_rows: int) -> ColumnDrift:
        """Evaluate the counts of a window; compute the index from `minimum_rows` rows on."""
        below, bins, above, missing = self.split(counts)
        total = sum(counts)
        below_share, above_share, missing_share = (count / (total or 1) for count in (below, above, missing))
        reading = ColumnDrift(self.name, below_share, above_share, missing_share)
        if self._histogram is None:
            return reading
        bins[0] += below
        bins[-1] += above
        trained = self._histogram.counts
        psi = None
        if total >= minimum_rows:
            rest = () if self._training_missing is None else (self._training_missing,)
            psi = population_stability_index([*trained, *rest], [*bins, missing][: len(trained) + len(rest)])
        return replace(reading, psi=psi, edges=self._histogram.edges, training=_shares(trained), window=_shares(bins))


def population_stability_index(trained: Sequence[float], seen: Sequence[float]) -> float:
    """Return the population stability index of two lists of counts over the same bins."""
    pairs = zip(_shares(trained), _shares(seen), strict=True)
    floored = [(max(then, _MIN_SHARE), max(now, _MIN_SHARE)) for then, now in pairs]
    return math.fsum((now - then) * math.log(now / then) for then, now in floored)


def _shares(counts: Sequence[float]) -> tuple[float, ...]:
    total = sum(counts) or 1
    return tuple(count / total for count in counts)


class DriftMonitor:
    """Counts the rows of one process and evaluates those of all workers.

    Only the event loop's thread may call `record`. `window` is the number of rows in each worker's window.
    """

    def __init__(self, manifest: Manifest, counters: SharedCounters, window: int) -> None:
        self._counters, self._worker_slots = counters, counters.worker_slots()
        self._features = [_feature_column(feature) for feature in manifest.features]
        predictions = manifest.target.predictions if manifest.outputs == 1 else None
        self._prediction = _Column(manifest.target.name, (), predictions, None) if predictions else None
        self._columns = [*self._features, *([self._prediction] if self._prediction else [])]
        cells = sum(column.cells for column in self._columns) + 1  # the last cell counts rows
        self._now, self._base = counters.allocate(cells), counters.allocate(cells)
        for column, first in zip(
            self._columns, accumulate((column.cells for column in self._columns), initial=self._now.start), strict=False
        ):
            column.first = first
        # Everything that `record` looks up per value.
        self._lookup = [(column.edges, column.first, column.first + column.cells - 1) for column in self._columns]
        self.window, self.minimum_rows = window, max(window // _WINDOW_SLICES, 1)
        self._snapshots: deque[array[float]] = deque()
        self._rows_since_slide = 0

    def record(self, data: bytes, values: Sequence[float], rows: int) -> None:
        """Count rows in the engine's format, and their predicted values."""
        step = max(rows // _MAX_SAMPLED_ROWS, 1)
        slots, weight = self._worker_slots, 1 if step == 1 else rows / len(range(0, rows, step))
        floats, stride = memoryview(data).cast("f"), step * len(self._features)
        numbers = floats.tolist() if step == 1 else floats
        for index, (edges, first, missing) in enumerate(self._lookup):
            for value in numbers[index::stride] if index < len(self._features) else values[::step]:
                # NaN is the only value that differs from itself.
                slots[first + bisect_right(edges, value) if value == value else missing] += weight  # noqa: PLR0124
        slots[self._now[-1]] += rows
        self._rows_since_slide += rows
        if self._rows_since_slide >= self.minimum_rows:
            self._advance_window()

    def _advance_window(self) -> None:
        """Take a snapshot; once the window is full, move its start by a tenth."""
        self._rows_since_slide = 0
        if len(self._snapshots) == _WINDOW_SLICES:
            self._worker_slots[self._base.start : self._base.stop] = memoryview(self._snapshots.popleft())
        self._snapshots.append(array("d", self._worker_slots[self._now.start : self._now.stop]))

    def _window(self, slots: range) -> list[float]:
        """Return the counts in the windows of all workers."""
        shift = self._base.start - self._now.start
        base = range(slots.start + shift, slots.stop + shift)
        return list(map(sub, self._counters.sum_slots(slots), self._counters.sum_slots(base)))

    @property
    def rows(self) -> int:
        """Number of rows in the windows of all workers."""
        return round(self._window(self._now[-1:])[0])

    def features(self) -> list[ColumnDrift]:
        """Evaluate every feature."""
        return [self._read(column) for column in self._features]

    def prediction(self) -> ColumnDrift | None:
        """Evaluate the prediction; None if the manifest has no histogram of it or predictions have several values."""
        return self._read(self._prediction) if self._prediction else None

    def _read(self, column: _Column) -> ColumnDrift:
        return column.read(self._window(range(column.first, column.first + column.cells)), self.minimum_rows)

    def report(self) -> bytes:
        """Return the JSON of `/drift`."""
        prediction = self.prediction()
        return orjson.dumps(
            {
                "rows": self.rows,
                "window": self.window,
                "enough": self.minimum_rows,
                "features": [_describe(reading) for reading in self.features()],
                "prediction": _describe(prediction) if prediction else None,
            }
        )

    def collect(self) -> Iterator[MetricFamily]:
        """Yield the metrics: counts since the start, and the indices of the window."""
        outside: list[tuple[Labels, float]] = []
        missing: list[tuple[Labels, float]] = []
        for column in self._features:
            counts = self._counters.sum_slots(range(column.first, column.first + column.cells))
            below, _, above, absent = column.split(counts)
            if column.edges:
                outside += [({"feature": column.name, "side": "below"}, below)]
                outside += [({"feature": column.name, "side": "above"}, above)]
            missing.append(({"feature": column.name}, absent))
        yield MetricFamily("counter", "moorage_feature_out_of_range", "Values outside the training range.", outside)
        yield MetricFamily("counter", "moorage_feature_missing", "Missing values.", missing)
        yield MetricFamily("gauge", "moorage_drift_rows", "Rows in the drift window.", [({}, self.rows)])
        text = "Population stability index against the training rows."
        known = [({"feature": reading.name}, reading.psi) for reading in self.features() if reading.psi is not None]
        yield MetricFamily("gauge", "moorage_feature_drift", text, known)
        prediction = self.prediction()
        values: list[tuple[Labels, float]] = (
            [] if prediction is None or prediction.psi is None else [({}, prediction.psi)]
        )
        yield MetricFamily(
            "gauge", "moorage_prediction_drift", "Population stability index of the predictions.", values
        )


def _feature_column(feature: Feature) -> _Column:
    ends = [end for end in (feature.min, feature.max) if end is not None]
    return _Column(feature.name, ends if len(ends) == 2 else [], feature.histogram, feature.missing)


def _describe(reading: ColumnDrift) -> dict[str, Any]:
    bins = {"edges": reading.edges, "training": reading.training, "window": reading.window}
    return {
        "name": reading.name,
        "psi": reading.psi,
        "level": reading.level,
        "below": reading.below,
        "above": reading.above,
        "missing": reading.missing,
        "bins": bins if reading.edges else None,
    }
