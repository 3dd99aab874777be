"""Metrics are counted per process and read as one."""

from __future__ import annotations

from copy import copy
from typing import Any

import pytest

from inference_server import exposition
from inference_server.errors import STATUSES, RequestError
from inference_server.manifest import Feature, Manifest, ModelFile, Target
from inference_server.metrics import Metrics, SharedCounters

MODEL = Manifest("m", ModelFile("ab" * 32, 1), (Feature("x"),), Target("y"), "reg:squarederror", "3.2.0")


def metrics(counters: SharedCounters) -> Metrics:
    counted = Metrics(MODEL, counters)
    counted.register_routes(["predict", "livez"], STATUSES)
    return counted


def test_metrics_are_summed_over_workers() -> None:
    """What one worker counts is in what any other reads; gauges too."""
    counters = SharedCounters(2)
    other = copy(counters)  # what a fork leaves in the other process: the same memory, its own place in it
    other.worker = 1
    theirs = metrics(other)
    theirs.count_response("predict", 200, 0.003)
    theirs.count_prediction(5)
    theirs.set_ready(True)
    ours = metrics(counters)
    ours.count_response("predict", 200, 0.3)
    ours.count_response("predict", 422, 0.001)
    ours.count_prediction(1)
    ours.set_ready(True)
    ours.add_pending(1)
    lines = exposition.render(ours.collect_all()).decode().splitlines()
    for line in (
        'moorage_requests_total{route="predict",status="200"} 2.0',
        'moorage_requests_total{route="predict",status="422"} 1.0',
        'moorage_request_seconds_bucket{le="0.001",route="predict"} 1.0',
        'moorage_request_seconds_bucket{le="0.005",route="predict"} 2.0',
        'moorage_request_seconds_bucket{le="+Inf",route="predict"} 3.0',
        'moorage_request_seconds_count{route="predict"} 3.0',
        "moorage_rows_total 6.0",
        'moorage_batch_rows_bucket{le="4"} 1.0',
        "moorage_batch_rows_sum 6.0",
        "moorage_workers_ready 2.0",
        "moorage_requests_pending 1.0",
    ):
        assert line in lines
    assert not any("livez" in line for line in lines)
    assert list(theirs.collect_all()) == list(ours.collect_all())


def test_every_status_of_an_error_can_be_counted() -> None:
    """No refusal has a status that the metrics don't know."""

    def statuses(error: type[RequestError]) -> set[int]:
        return {error.status}.union(*map(statuses, error.__subclasses__()))

    assert statuses(RequestError) <= set(STATUSES)


def test_rejections_are_counted_by_code(housing_bundle: Any, start_server: Any) -> None:
    """Each refusal counts under its code: no route, no such method, no JSON, not the signature, no HTTP at all."""
    server = start_server(housing_bundle, keepalive=70.0)  # its own
    server.send("GET", "/nothing")
    server.send("DELETE", "/predict")
    server.send("POST", "/predict", "{")
    server.send("POST", "/predict", {"instances": [[1]]})
    server.send("POST", "/", {"pred_x_csv": ""})
    server.send_raw(b"nonsense\r\n\r\n")
    lines = server.send("GET", "/metrics").body.decode().splitlines()
    for code, count in (
        ("not_found", 1),
        ("method_not_allowed", 1),
        ("malformed", 2),
        ("invalid_input", 1),
        ("seed_contract", 1),
    ):
        assert f'moorage_rejects_total{{code="{code}"}} {count}.0' in lines


def test_shared_counters_are_bounded() -> None:
    """Taking more numbers than there are is an error at start, not a write into another worker's part."""
    counters = SharedCounters()
    counters.allocate(2**18 - 50)
    with pytest.raises(IndexError):
        counters.allocate(100)
