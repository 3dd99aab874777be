"""Metrics are counted per process and read as one."""

from __future__ import annotations

from copy import copy
from typing import Any

import pytest

from inference_server import exposition
from inference_server.errors import STATUSES, RequestError
from inference_server.manifest import Feature, Manifest, ModelFile, Target
from inference_server.metrics import Board, Metrics

MODEL = Manifest("m", ModelFile("ab" * 32, 1), (Feature("x"),), Target("y"), "reg:squarederror", "3.2.0")


def metrics(board: Board) -> Metrics:
    counted = Metrics(MODEL, board)
    counted.expect(["predict", "livez"], STATUSES)
    return counted


def test_workers_are_summed() -> None:
    """What one worker counts is in what any other reads; gauges too."""
    board = Board(2)
    other = copy(board)  # what a fork leaves in the other process: the same memory, its own place in it
    other.worker = 1
    theirs = metrics(other)
    theirs.answered("predict", 200, 0.003)
    theirs.predicted(5)
    theirs.ready(True)
    ours = metrics(board)
    ours.answered("predict", 200, 0.3)
    ours.answered("predict", 422, 0.001)
    ours.predicted(1)
    ours.ready(True)
    ours.waiting(1)
    lines = exposition.render(ours.all()).decode().splitlines()
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
    assert list(theirs.all()) == list(ours.all())


def test_every_status_of_an_error_can_be_counted() -> None:
    """No refusal has a status that the metrics don't know."""

    def statuses(error: type[RequestError]) -> set[int]:
        return {error.status}.union(*map(statuses, error.__subclasses__()))

    assert statuses(RequestError) <= set(STATUSES)


def test_refusals_are_counted_by_why(housing: Any, serve: Any) -> None:
    """Each refusal counts under its code: no route, no such method, no JSON, not the signature, no HTTP at all."""
    server = serve(housing, keepalive=70.0)  # its own
    server.ask("GET", "/nothing")
    server.ask("DELETE", "/predict")
    server.ask("POST", "/predict", "{")
    server.ask("POST", "/predict", {"instances": [[1]]})
    server.ask("POST", "/", {"pred_x_csv": ""})
    server.raw(b"nonsense\r\n\r\n")
    lines = server.ask("GET", "/metrics").body.decode().splitlines()
    for code, count in (
        ("not_found", 1),
        ("method_not_allowed", 1),
        ("malformed", 2),
        ("invalid_input", 1),
        ("seed_contract", 1),
    ):
        assert f'moorage_rejects_total{{code="{code}"}} {count}.0' in lines


def test_the_board_is_of_bounded_size() -> None:
    """Taking more numbers than there are is an error at start, not a write into another worker's part."""
    board = Board()
    board.take(2**18 - 50)
    with pytest.raises(IndexError):
        board.take(100)
