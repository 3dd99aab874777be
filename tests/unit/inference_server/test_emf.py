"""CloudWatch's embedded metric format: what the lines are, and what they say."""

from __future__ import annotations

import json
import struct
from typing import Any

from inference_server.drift import Drift
from inference_server.emf import Lines
from inference_server.errors import STATUSES
from inference_server.manifest import Feature, Histogram, Manifest, ModelFile, Target
from inference_server.metrics import Board, Metrics

MODEL = Manifest(
    "m",
    ModelFile("ab" * 32, 1),
    (Feature("x", 0.0, 2.0, 1.0, 0, Histogram((0.0, 1.0, 2.0), (1, 1))),),
    Target("y", Histogram((0.0, 1.0, 2.0), (1, 1))),
    "reg:squarederror",
    "3.2.0",
)


class Server:
    """Metrics of a server, and its lines."""

    def __init__(self) -> None:
        board = Board()
        self.metrics, self.drift, self.lines = Metrics(MODEL, board), Drift(MODEL, board, 20), Lines("m")
        self.metrics.include(self.drift)
        self.metrics.expect(["predict", "livez"], STATUSES)

    def next(self) -> dict[tuple[str, ...], dict[str, Any]]:
        """Give the next lines by what they are about, after holding each to the specification."""
        found = {}
        for line in self.lines.next(self.metrics.all(), 1_700_000_000_000):
            assert line.endswith(b"}\n")
            assert line.count(b"\n") == 1
            root = json.loads(line)
            check(root)
            found[tuple(root[name] for name in ("Model", "Route", "Feature") if name in root)] = root
        return found


def check(root: dict[str, Any]) -> None:
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


def test_requests_are_told_by_route() -> None:
    """Counts are those since the last lines; refused and failed ones apart; a route without traffic has no line."""
    server = Server()
    for status, seconds in ((200, 0.0007), (200, 0.004), (422, 0.0001), (503, 0.0001), (500, 30.0)):
        server.metrics.answered("predict", status, seconds)
    found = server.next()["m", "predict"]
    assert [found[name] for name in ("Requests", "Refused", "Failed")] == [5, 2, 1]
    assert sorted(found["Latency"]) == [0.5, 0.5, 1, 5, 10_000]
    assert ("m", "livez") not in server.next()
    server.metrics.answered("predict", 200, 0.0007)
    assert server.next()["m", "predict"]["Requests"] == 1


def test_many_latencies_are_stood_for_by_a_hundred() -> None:
    """Of a thousand requests a hundred values stand, in the same proportions."""
    server = Server()
    for index in range(1000):
        server.metrics.answered("predict", 200, 0.2 if index % 10 == 0 else 0.001)
    assert server.next()["m", "predict"]["Latency"] == [1] * 90 + [250] * 10


def test_the_model_and_its_features() -> None:
    """Rows, who waits, drift of the prediction; per feature missing and outside values and, once known, drift."""
    server = Server()
    server.metrics.predicted(3)
    server.metrics.waiting(1)
    server.drift.see(struct.pack("<1f", 5.0), [1.0], 1)
    lines = server.next()
    assert [lines["m",][name] for name in ("Rows", "Pending")] == [3, 1]
    assert "PredictionDrift" not in lines["m",]
    assert [lines["m", "x"].get(name) for name in ("OutOfRange", "Missing", "Drift")] == [1, 0, None]
    server.drift.see(struct.pack("<4f", 5.0, 5.0, 5.0, float("nan")), [1.0] * 4, 4)
    lines = server.next()
    assert lines["m",]["PredictionDrift"] > 0.25
    assert [lines["m", "x"][name] for name in ("OutOfRange", "Missing")] == [3, 1]
    assert lines["m", "x"]["Drift"] > 0.25


def test_the_process_logs_them_when_asked(housing: Any, start: Any) -> None:
    """They come on stdout among the log's lines, again and again, and once more at the end; without the option never."""
    process = start(housing.directory, "--emf-interval", "0.05", DRAIN_DELAY="0")
    process.started()
    assert "_aws" in process.line()
    process.process.terminate()
    code, log, err = process.end()
    assert (code, err) == (0, "")
    assert [line["event"] for line in log if "_aws" not in line] == ["draining", "stopped"]
    assert "_aws" in log[-2]
    process = start(housing.directory, DRAIN_DELAY="0")
    process.started()
    process.process.terminate()
    assert not any("_aws" in line for line in process.end()[1])
