"""Capture: a sampled share of rows as JSON lines, and never a reason to wait."""

from __future__ import annotations

import json
import os
import stat
import struct
import threading
from collections.abc import Callable
from itertools import cycle
from pathlib import Path
from typing import Any

import pytest

from inference_server import model as models
from inference_server.capture import Capture
from inference_server.errors import StartupError
from inference_server.metrics import SharedCounters

from .model_bundles import NAMES, Bundle, to_lists
from .server_process import MARK, MARKED, send, until
from .server_thread import ThreadedServer


def outcomes(capture: Capture) -> dict[str, float]:
    """Give how many rows were written and dropped."""
    return {labels["outcome"]: value for family in capture.collect() for labels, value in family.samples}


def test_rows_and_predictions_are_captured_as_json_lines(
    start_server: Callable[..., ThreadedServer], housing_bundle: Bundle, tmp_path: Path
) -> None:
    """With a share of 1 every row of small and large requests is a line, as it was predicted.

    Only its owner may read it.
    """
    path = tmp_path / "rows.jsonl"
    server = start_server(housing_bundle, capture=str(path), capture_share=1.0)
    rows = to_lists(housing_bundle.rows[:600])
    answered = []
    for part in (rows[:1], rows[1:3], rows):
        answered += server.send("POST", "/predict", {"instances": part}).json["predictions"]
    until(lambda: path.read_bytes().count(b"\n") == 603)
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [line["prediction"] for line in lines] == pytest.approx(answered)
    assert [list(line["row"].values()) for line in lines] == [*rows[:3], *rows]
    assert list(lines[0]["row"]) == list(NAMES)
    assert (lines[0]["model"], lines[0]["version"]) == ("housing-model", 3)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert b'moorage_capture_rows_total{outcome="written"} 603.0' in server.send("GET", "/metrics").body


def open_capture(bundle: Bundle, path: Path, share: float, **options: Any) -> Capture:
    return Capture(path, share, models.load(bundle.directory), SharedCounters(), **options)


def test_only_the_configured_share_is_captured(housing_bundle: Bundle, tmp_path: Path) -> None:
    """Of four equally likely chances a share of a quarter keeps one."""
    draws = cycle([0.0, 0.25, 0.5, 0.75]).__next__
    capture = open_capture(housing_bundle, tmp_path / "rows", 0.25, draw=draws)
    data = struct.pack("<64f", *(index for index in range(8) for _ in range(8)))
    capture.record(data, [float(index) for index in range(8)], 8)
    capture.close()
    assert [json.loads(line)["prediction"] for line in (tmp_path / "rows").read_text().splitlines()] == [0, 4]


def test_full_pipe_drops_rows_without_blocking(housing_bundle: Bundle, tmp_path: Path) -> None:
    """Into a pipe that is full, rows are dropped and counted; `see` returns all the same."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        capture = open_capture(housing_bundle, pipe, 1.0)
        data, values = bytes(32 * 4000), [0.0] * 4000
        done = threading.Thread(target=lambda: [capture.record(data, values, 4000) for _ in range(3)])
        done.start()
        done.join(20)
        assert not done.is_alive()
        until(lambda: sum(outcomes(capture).values()) == 12_000)
        assert outcomes(capture)["dropped"] > 0
        capture.close()
    finally:
        os.close(reader)


def test_unwritable_capture_file_fails_at_startup(housing_bundle: Bundle, tmp_path: Path) -> None:
    """A directory that isn't there, and a pipe that nobody reads, end the start with a reason."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for path in (tmp_path / "not" / "there", pipe, tmp_path):
        with pytest.raises(StartupError, match="rows can't be captured"):
            open_capture(housing_bundle, path, 1.0)


def test_process_exits_when_the_capture_file_is_unwritable(
    housing_bundle: Bundle, start_process: Any, tmp_path: Path
) -> None:
    """The server ends with 1 and one line before it takes traffic."""
    code, (line,), err = start_process(
        housing_bundle.directory, "--capture", str(tmp_path / "no" / "file")
    ).wait_for_exit()
    assert (code, line["event"], err) == (1, "can't serve", "")
    assert "--capture" in line["reason"]


def test_debug_log_contains_no_client_data_without_capture(
    housing_bundle: Bundle, start_process: Any, tmp_path: Path
) -> None:
    """At the most talkative level, a marked value that is predicted, refused and sent as a header is in no line."""
    process = start_process(housing_bundle.directory, "--log-level", "debug", DRAIN_DELAY="0")
    port = process.wait_until_started()
    for body in (f'{{"instances": [[{MARK},1,1,1,1,1,1,1]]}}', f'{{"instances": [["{MARK}"]]}}', f'{{"x": {MARK}'):
        send(port, "/predict", body, Authorization=MARK, Cookie=MARK, traceparent=MARK)
    process.process.terminate()
    code, log, err = process.wait_for_exit()
    reported = [line for line in log if line["event"] == "request"]
    assert (code, err, [line["status"] for line in reported]) == (0, "", [200, 422, 400])
    assert MARKED not in json.dumps(log)
