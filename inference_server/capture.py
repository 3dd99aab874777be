"""Capture: writes a sampled share of rows with their predictions as JSON lines, if enabled by `--capture FILE`.

Predictions never wait for it. A dedicated thread writes; while it lags behind, rows are dropped and counted. No other
part of the server writes rows anywhere.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from queue import Full, Queue
from random import random
from threading import Thread
from time import time
from typing import Any, Final

import orjson

from inference_server.errors import StartupError
from inference_server.metric_families import MetricFamily
from inference_server.metrics import SharedCounters
from inference_server.model import Model

_QUEUE_SIZE: Final = 1024  # rows waiting for the disk
_CLOSE_SECONDS: Final = 2.0  # time to write the remaining rows

_Sample = tuple[float, bytes, Sequence[float]]  # time of capture, packed row, predicted values


class Capture:
    """The row sampler of one process. Only the event loop's thread may call `record`; `draw` returns numbers in [0, 1).

    Raises StartupError when the file can't be opened.
    """

    def __init__(
        self, path: Path, share: float, model: Model, counters: SharedCounters, draw: Callable[[], float] = random
    ) -> None:
        self._share, self._model, self._draw = share, model, draw
        self._counters, self._worker_slots = counters, counters.worker_slots()
        self._slots = self._written, self._failed, self._dropped = counters.allocate(3)
        try:
            # Each line is one append, so several processes can share the file. A pipe without a reader fails at once.
            self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NONBLOCK | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StartupError(
                f"{path}: rows can't be captured: {error.strerror}; omit --capture, or mount the directory"
            ) from None
        self._waiting: Queue[_Sample | None] = Queue(_QUEUE_SIZE)
        self._thread = Thread(target=self._write_all, name="capture", daemon=True)
        self._thread.start()

    def record(self, data: bytes, values: Sequence[float], rows: int) -> None:
        """Queue a sample of these rows for writing; drop them if the writer lags behind."""
        size, outputs = len(data) // rows, self._model.engine.outputs
        for row in range(rows):
            if self._draw() < self._share:
                sample = time(), data[row * size : (row + 1) * size], values[row * outputs : (row + 1) * outputs]
                try:
                    self._waiting.put_nowait(sample)
                except Full:
                    self._worker_slots[self._dropped] += 1

    def close(self) -> None:
        """Write the queued rows, within a few seconds."""
        try:
            self._waiting.put(None, timeout=_CLOSE_SECONDS)
        except Full:
            return
        self._thread.join(_CLOSE_SECONDS)

    def collect(self) -> Iterator[MetricFamily]:
        """Yield the capture metrics."""
        written, failed, dropped = self._counters.sum_slots(self._slots)
        outcomes = [({"outcome": "written"}, written), ({"outcome": "dropped"}, failed + dropped)]
        yield MetricFamily("counter", "moorage_capture_rows", "Rows sampled for capture.", outcomes)

    def _write_all(self) -> None:
        while (sample := self._waiting.get()) is not None:
            line = orjson.dumps(self._describe(sample), option=orjson.OPT_APPEND_NEWLINE)
            try:
                complete = os.write(self._file, line) == len(line)
            except OSError:  # disk full, or a pipe whose reader lags behind or has exited
                complete = False
            self._worker_slots[self._written if complete else self._failed] += 1
        os.close(self._file)

    def _describe(self, sample: _Sample) -> dict[str, Any]:
        captured_at, row, values = sample
        manifest = self._model.manifest
        numbers = struct.unpack(f"<{len(manifest.features)}f", row)
        return {
            "time": datetime.fromtimestamp(captured_at, UTC).isoformat(timespec="milliseconds"),
            "model": manifest.name,
            "version": manifest.version,
            "row": dict(zip(manifest.feature_names, numbers, strict=True)),
            "prediction": values[0] if len(values) == 1 else list(values),
        }
