"""Drift: what is counted of each value, how the window slides, and what the index says."""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from inference_server import exposition
from inference_server.drift import ColumnDrift, DriftMonitor, population_stability_index
from inference_server.manifest import Feature, Histogram, Manifest, ModelFile, Target
from inference_server.metrics import Metrics, SharedCounters

from .model_bundles import NAMES, Bundle, to_lists, with_histograms
from .server_thread import ThreadedServer

EVEN_HISTOGRAM = Histogram((0.0, 1.0, 2.0, 3.0, 4.0), (100, 100, 100, 100))
PLAIN = Feature("plain", 0.0, 4.0, 2.0, 0, EVEN_HISTOGRAM)
MODEL = Manifest(
    "m", ModelFile("ab" * 32, 1), (PLAIN, Feature("bare")), Target("y", EVEN_HISTOGRAM), "reg:squarederror", "3.2.0"
)
ALL = [0.5, 1.5, 2.5, 3.5]


def metric_values(drift: DriftMonitor) -> dict[str, dict[tuple[str, ...], Any]]:
    """Give the metrics' values by name and labels."""
    return {each.name: {tuple(labels.values()): found for labels, found in each.samples} for each in drift.collect()}


def record_rows(drift: DriftMonitor, values: Sequence[float], predictions: Sequence[float] | None = None) -> None:
    """Let rows pass whose features have the same value."""
    data = struct.pack(f"<{2 * len(values)}f", *(each for value in values for each in (value, value)))
    drift.record(data, list(predictions or values), len(values))


def test_values_are_counted_in_the_right_bin() -> None:
    """Below, in, on the right edge, above, missing.

    An edge belongs to the bin that it begins, the last one to its bin.
    """
    drift = DriftMonitor(MODEL, SharedCounters(), 1000)
    record_rows(drift, [-1, 0, 1, 4, 4.0001, math.nan, math.nan, 2])
    plain, bare = drift.features()
    assert (plain.below, plain.above, plain.missing) == (1 / 8, 1 / 8, 2 / 8)
    assert plain.window == (2 / 6, 1 / 6, 1 / 6, 2 / 6)
    assert plain.training == (0.25,) * 4
    assert bare == ColumnDrift("bare", 0, 0, 2 / 8)
    assert drift.rows == 8


def test_edges_are_rounded_to_32_bit_floats() -> None:
    """The training minimum and maximum, which no 32-bit float is, are not outside once they come as rows."""
    feature = Feature("x", 0.1, 0.7, 0.3, 0, Histogram((0.1, 0.3, 0.7), (1, 1)))
    drift = DriftMonitor(replace(MODEL, features=(feature,)), SharedCounters(), 10)
    drift.record(struct.pack("<3f", 0.1, 0.3, 0.7), [1.0] * 3, 3)
    (reading,) = drift.features()
    assert (reading.below, reading.above, reading.window) == (0, 0, (1 / 3, 2 / 3))


def test_population_stability_index_matches_a_manual_calculation() -> None:
    """Half of a quarter's rows moved to the next: (0.125 - 0.25) ln(1/2) + (0.375 - 0.25) ln(3/2); equal shares: 0."""
    assert population_stability_index([100] * 4, [1, 3, 2, 2]) == pytest.approx(
        0.125 * math.log(2) + 0.125 * math.log(1.5)
    )
    assert population_stability_index([100] * 4, [7] * 4) == 0
    assert math.isfinite(population_stability_index([1, 0], [0, 1]))


def test_index_needs_a_minimum_of_rows() -> None:
    """A tenth of the window's rows are needed; before, neither the index nor its metric is there."""
    drift = DriftMonitor(MODEL, SharedCounters(), 80)
    record_rows(drift, ALL + ALL[:3])
    assert (drift.minimum_rows, drift.features()[0].psi, drift.features()[0].level) == (8, None, "unknown")
    assert not metric_values(drift)["moorage_feature_drift"]
    record_rows(drift, ALL[3:])
    assert (drift.features()[0].psi, drift.features()[0].level) == (0, "stable")
    assert metric_values(drift)["moorage_feature_drift"] == {("plain",): 0}


def test_old_rows_leave_the_window() -> None:
    """What was seen more than a window ago has left the index, and stays in the counters."""
    drift = DriftMonitor(MODEL, SharedCounters(), 40)
    for _ in range(10):
        record_rows(drift, [9.0] * 4)
    assert drift.features()[0].level == "shifted"
    for _ in range(11):
        record_rows(drift, ALL)
    assert drift.rows == 40
    assert (drift.features()[0].psi, drift.features()[0].above) == (0, 0)
    assert metric_values(drift)["moorage_feature_out_of_range"]["plain", "above"] == 40


def test_new_missing_values_are_drift() -> None:
    """A feature that begins to be missing is shifted, though the values that are left are as ever."""
    drift = DriftMonitor(MODEL, SharedCounters(), 100)
    record_rows(drift, (ALL * 9) + [math.nan] * 8)
    assert drift.features()[0].level == "shifted"
    unknown = replace(PLAIN, missing=None)
    drift = DriftMonitor(replace(MODEL, features=(unknown, Feature("bare"))), SharedCounters(), 100)
    record_rows(drift, (ALL * 9) + [math.nan] * 8)
    assert drift.features()[0].psi == 0


def test_large_batches_are_sampled() -> None:
    """Ten thousand rows count as ten thousand, though few of them are looked at; shares stay as they are."""
    drift = DriftMonitor(MODEL, SharedCounters(), 5000)
    record_rows(drift, ALL * 2500)
    assert metric_values(drift)["moorage_drift_rows"][()] == 10_000
    reading = drift.features()[0]
    assert reading.psi == pytest.approx(0, abs=0.01)
    assert sum(reading.window) == pytest.approx(1)


def test_drift_is_summed_over_workers() -> None:
    """Each worker counts its own rows and slides its own window; any of them tells of all."""
    counters = SharedCounters(2)
    other = copy(counters)  # what a fork leaves in the other process: the same memory, its own place in it
    other.worker = 1
    ours, theirs = DriftMonitor(MODEL, counters, 40), DriftMonitor(MODEL, other, 40)
    record_rows(ours, ALL * 10)
    record_rows(theirs, [9.0] * 40)
    assert ours.report() == theirs.report()
    assert (ours.rows, ours.features()[0].above) == (80, 0.5)


def test_several_outputs_have_no_prediction_drift() -> None:
    """Where a prediction is a list, only features are watched."""
    manifest = replace(MODEL, objective="multi:softprob", num_class=3)
    drift = DriftMonitor(manifest, SharedCounters(), 10)
    record_rows(drift, [1.0], [0.1, 0.2, 0.7])
    assert drift.prediction() is None


def test_drift_is_exposed_as_metrics() -> None:
    """The metrics page shows counters per feature and the indices."""
    counters = SharedCounters()
    metrics, drift = Metrics(MODEL, counters), DriftMonitor(MODEL, counters, 10)
    metrics.add_source(drift)
    record_rows(drift, [*ALL, -1, math.nan])
    lines = exposition.render(metrics.collect_all()).decode().splitlines()
    for line in (
        'moorage_feature_out_of_range_total{feature="plain",side="below"} 1.0',
        'moorage_feature_out_of_range_total{feature="plain",side="above"} 0.0',
        'moorage_feature_missing_total{feature="plain"} 1.0',
        'moorage_feature_missing_total{feature="bare"} 1.0',
        "moorage_drift_rows 6.0",
    ):
        assert line in lines
    assert any(line.startswith('moorage_feature_drift{feature="plain"} ') for line in lines)
    assert any(line.startswith("moorage_prediction_drift ") for line in lines)


def test_only_the_shifted_feature_is_reported(
    start_server: Callable[..., ThreadedServer], housing_bundle: Bundle, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Through the server: the training rows are stable; with one feature shifted, that one is, and no other is."""
    bundle = with_histograms(housing_bundle, tmp_path_factory.mktemp("drift"))
    for shifted in (None, *range(len(NAMES))):
        server = start_server(bundle, drift_window=600 + (shifted or 0))
        rows = housing_bundle.rows.copy()
        if shifted is not None:
            rows[:, shifted] += np.float32(1.0)
        for start in range(0, len(rows), 50):  # small requests and a large one go different ways
            assert server.send("POST", "/predict", {"instances": to_lists(rows[start : start + 50])}).status == 200
        server.send("POST", "/predict", {"instances": to_lists(rows)})
        report = server.send("GET", "/drift").json
        assert {each["name"] for each in report["features"] if each["level"] != "stable"} == (
            {NAMES[shifted]} if shifted is not None else set()
        )
        if shifted is None:
            assert report["prediction"]["level"] == "stable"


def test_only_predicted_rows_count(
    start_server: Callable[..., ThreadedServer], housing_bundle: Bundle, tmp_path: Path
) -> None:
    """Rows that are explained, or refused, are not traffic; each route that predicts counts its rows."""
    server = start_server(with_histograms(housing_bundle, tmp_path))
    row = to_lists(housing_bundle.rows[:1])
    server.send("POST", "/explain", {"instances": row})
    server.send("POST", "/predict", {"instances": [row[0][:7]]})
    assert server.send("GET", "/drift").json["rows"] == 0
    server.send("POST", "/predict", {"instances": row})
    server.send("POST", "/invocations", b"1,2,3,4,5,6,7,8\n", Content_Type="text/csv")
    server.send("POST", "/", {"pred_x_csv": "1,2,3,4,5,6,7,8"})
    assert server.send("GET", "/drift").json["rows"] == 3
