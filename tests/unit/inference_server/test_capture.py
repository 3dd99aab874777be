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
from inference_server.errors import StartError
from inference_server.metrics import Board

from .bundles import NAMES, Bundle, lists
from .processes import MARK, MARKED, ask, until
from .servers import Running


def outcomes(capture: Capture) -> dict[str, float]:
    """Give how many rows were written and dropped."""
    return {labels["outcome"]: value for family in capture.collect() for labels, value in family.samples}


def test_rows_and_predictions_are_lines(serve: Callable[..., Running], housing: Bundle, tmp_path: Path) -> None:
    """With a share of 1 every row of small and large requests is a line, as it was predicted; only its owner may read it."""
    path = tmp_path / "rows.jsonl"
    server = serve(housing, capture=str(path), capture_share=1.0)
    rows = lists(housing.rows[:600])
    answered = []
    for part in (rows[:1], rows[1:3], rows):
        answered += server.ask("POST", "/predict", {"instances": part}).json["predictions"]
    until(lambda: path.read_bytes().count(b"\n") == 603)
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [line["prediction"] for line in lines] == pytest.approx(answered)
    assert [list(line["row"].values()) for line in lines] == [*rows[:3], *rows]
    assert list(lines[0]["row"]) == list(NAMES)
    assert (lines[0]["model"], lines[0]["version"]) == ("housing-model", 3)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert b'moorage_capture_rows_total{outcome="written"} 603.0' in server.ask("GET", "/metrics").body


def capture(bundle: Bundle, path: Path, share: float, **options: Any) -> Capture:
    return Capture(path, share, models.load(bundle.directory), Board(), **options)


def test_only_the_share_is_kept(housing: Bundle, tmp_path: Path) -> None:
    """Of four equally likely chances a share of a quarter keeps one."""
    chances = cycle([0.0, 0.25, 0.5, 0.75]).__next__
    kept = capture(housing, tmp_path / "rows", 0.25, chance=chances)
    data = struct.pack("<64f", *(index for index in range(8) for _ in range(8)))
    kept.see(data, [float(index) for index in range(8)], 8)
    kept.close()
    assert [json.loads(line)["prediction"] for line in (tmp_path / "rows").read_text().splitlines()] == [0, 4]


def test_a_reader_that_does_not_read_keeps_nobody_waiting(housing: Bundle, tmp_path: Path) -> None:
    """Into a pipe that is full, rows are dropped and counted; `see` returns all the same."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        kept = capture(housing, pipe, 1.0)
        data, values = bytes(32 * 4000), [0.0] * 4000
        done = threading.Thread(target=lambda: [kept.see(data, values, 4000) for _ in range(3)])
        done.start()
        done.join(20)
        assert not done.is_alive()
        until(lambda: sum(outcomes(kept).values()) == 12_000)
        assert outcomes(kept)["dropped"] > 0
        kept.close()
    finally:
        os.close(reader)


def test_what_can_not_be_written_is_said_at_start(housing: Bundle, tmp_path: Path) -> None:
    """A directory that isn't there, and a pipe that nobody reads, end the start with a reason."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for path in (tmp_path / "not" / "there", pipe, tmp_path):
        with pytest.raises(StartError, match="rows can't be captured"):
            capture(housing, path, 1.0)


def test_the_process_says_so_too(housing: Bundle, start: Any, tmp_path: Path) -> None:
    """The server ends with 1 and one line before it takes traffic."""
    code, (line,), err = start(housing.directory, "--capture", str(tmp_path / "no" / "file")).end()
    assert (code, line["event"], err) == (1, "can't serve", "")
    assert "--capture" in line["reason"]


def test_without_it_no_row_is_in_any_log(housing: Bundle, start: Any, tmp_path: Path) -> None:
    """At the most talkative level, a marked value that is predicted, refused and sent as a header is in no line."""
    process = start(housing.directory, "--log-level", "debug", DRAIN_DELAY="0")
    port = process.started()
    for body in (f'{{"instances": [[{MARK},1,1,1,1,1,1,1]]}}', f'{{"instances": [["{MARK}"]]}}', f'{{"x": {MARK}'):
        ask(port, "/predict", body, Authorization=MARK, Cookie=MARK, traceparent=MARK)
    process.process.terminate()
    code, log, err = process.end()
    told = [line for line in log if line["event"] == "request"]
    assert (code, err, [line["status"] for line in told]) == (0, "", [200, 422, 400])
    assert MARKED not in json.dumps(log)
