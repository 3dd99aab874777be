"""CloudWatch's embedded metric format: what the lines are, and what they say."""

from __future__ import annotations

import json
import struct
from typing import Any

from inference_server.drift import DriftMonitor
from inference_server.emf import EmfFormatter
from inference_server.errors import STATUSES
from inference_server.manifest import Feature, Histogram, Manifest, ModelFile, Target
from inference_server.metrics import Metrics, SharedCounters

MODEL = Manifest(
    "m",
    ModelFile("ab" * 32, 1),
    (Feature("x", 0.0, 2.0, 1.0, 0, Histogram((0.0, 1.0, 2.0), (1, 1))),),
    Target("y", Histogram((0.0, 1.0, 2.0), (1, 1))),
    "reg:squarederror",
    "3.2.0",
)


class MetricsServer:
    """Metrics of a server, and its lines."""

    def __init__(self) -> None:
        counters = SharedCounters()
        self.metrics, self.drift, self.formatter = (
            Metrics(MODEL, counters),
            DriftMonitor(MODEL, counters, 20),
            EmfFormatter("m"),
        )
        self.metrics.add_source(self.drift)
        self.metrics.register_routes(["predict", "livez"], STATUSES)

    def read_lines(self) -> dict[tuple[str, ...], dict[str, Any]]:
        """Give the next lines by what they are about, after holding each to the specification."""
        found = {}
        for line in self.formatter.format_changes(self.metrics.collect_all(), 1_700_000_000_000):
            assert line.endswith(b"}\n")
            assert line.count(b"\n") == 1
            root = json.loads(line)
            check_emf_line(root)
            found[tuple(root[name] for name in ("Model", "Route", "Feature") if name in root)] = root
        return found


def check_emf_line(root: dict[str, Any]) -> None:
    """Hold one line to the specification of the format."""
    assert set(root["_aws"]) == {"Timestamp", "CloudWatchMetrics"}
    assert root["_aws"]["Timestamp"] == 1_700_000_000_000
    (directive,) = root["_aws"]["CloudWatchMetrics"]
    assert set(directive) == {"Namespace", "Dimensions", "Metrics"}
    assert 1 <= len(directive["Namespace"]) <= 1024
    assert 1 <= len(directive["Metrics"]) <= 100
    names = [metric["Name"] for metric in directive["Metrics"]]
    (dimensions,) = directive["Dimensions"]
    assert set(root) == {"_aws", *dimensions, *names}
    assert all(isinstance(root[name], str) and root[name] for name in dimensions)
    for metric in directive["Metrics"]:
        assert metric["Unit"] in {"Count", "Milliseconds", "None"}
        value = root[metric["Name"]]
        for number in value if isinstance(value, list) else [value]:
            assert isinstance(number, int | float)
        assert not isinstance(value, list) or 1 <= len(value) <= 100


def test_requests_are_counted_by_route() -> None:
    """Counts are those since the last lines; refused and failed ones apart; a route without traffic has no line."""
    server = MetricsServer()
    for status, seconds in ((200, 0.0007), (200, 0.004), (422, 0.0001), (503, 0.0001), (500, 30.0)):
        server.metrics.count_response("predict", status, seconds)
    found = server.read_lines()["m", "predict"]
    assert [found[name] for name in ("Requests", "Refused", "Failed")] == [5, 2, 1]
    assert sorted(found["Latency"]) == [0.5, 0.5, 1, 5, 10_000]
    assert ("m", "livez") not in server.read_lines()
    server.metrics.count_response("predict", 200, 0.0007)
    assert server.read_lines()["m", "predict"]["Requests"] == 1


def test_latencies_are_reduced_to_a_hundred_values() -> None:
    """Of a thousand requests a hundred values stand, in the same proportions."""
    server = MetricsServer()
    for index in range(1000):
        server.metrics.count_response("predict", 200, 0.2 if index % 10 == 0 else 0.001)
    assert server.read_lines()["m", "predict"]["Latency"] == [1] * 90 + [250] * 10


def test_model_and_feature_metrics() -> None:
    """Rows, who waits, drift of the prediction; per feature missing and outside values and, once known, drift."""
    server = MetricsServer()
    server.metrics.count_prediction(3)
    server.metrics.add_pending(1)
    server.drift.record(struct.pack("<1f", 5.0), [1.0], 1)
    lines = server.read_lines()
    assert [lines["m",][name] for name in ("Rows", "Pending")] == [3, 1]
    assert "PredictionDrift" not in lines["m",]
    assert [lines["m", "x"].get(name) for name in ("OutOfRange", "Missing", "Drift")] == [1, 0, None]
    server.drift.record(struct.pack("<4f", 5.0, 5.0, 5.0, float("nan")), [1.0] * 4, 4)
    lines = server.read_lines()
    assert lines["m",]["PredictionDrift"] > 0.25
    assert [lines["m", "x"][name] for name in ("OutOfRange", "Missing")] == [3, 1]
    assert lines["m", "x"]["Drift"] > 0.25


def test_process_logs_emf_lines_only_when_enabled(housing_bundle: Any, start_process: Any) -> None:
    """They come on stdout among the log's lines, again and again, and once more at the end.

    Without the option never.
    """
    process = start_process(housing_bundle.directory, "--emf-interval", "0.05", DRAIN_DELAY="0")
    process.wait_until_started()
    assert "_aws" in process.read_line()
    process.process.terminate()
    code, log, err = process.wait_for_exit()
    assert (code, err) == (0, "")
    assert [line["event"] for line in log if "_aws" not in line] == ["draining", "stopped"]
    assert "_aws" in log[-2]
    process = start_process(housing_bundle.directory, DRAIN_DELAY="0")
    process.wait_until_started()
    process.process.terminate()
    assert not any("_aws" in line for line in process.wait_for_exit()[1])
