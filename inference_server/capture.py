"""Keeps a sampled share of rows with their predictions, as JSON lines, for whoever asks for it: `--capture FILE`.

Predicting never waits for it. A thread of its own writes; while it is behind, rows are dropped and counted. Nothing else
in the server writes a row anywhere.
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

from inference_server.errors import StartError
from inference_server.families import Family
from inference_server.metrics import Board
from inference_server.model import Model

_BEHIND: Final = 1024  # rows that may wait for the disk
_LAST_WORDS: Final = 2.0  # seconds for those at the end

_Kept = tuple[float, bytes, Sequence[float]]  # when, the packed row, its values


class Capture:
    """One process' sample. Only the event loop's thread may call `see`; `chance` gives numbers in [0, 1)."""

    def __init__(
        self, path: Path, share: float, model: Model, board: Board, chance: Callable[[], float] = random
    ) -> None:
        self._share, self._model, self._chance = share, model, chance
        self._board, self._own = board, board.own()
        self._slots = self._written, self._failed, self._behind = board.take(3)
        try:
            # Appended to line by line, so several processes can share a file; a pipe without a reader fails at once.
            self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NONBLOCK | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StartError(
                f"{path}: rows can't be captured: {error.strerror}; leave --capture out, or mount it"
            ) from None
        self._waiting: Queue[_Kept | None] = Queue(_BEHIND)
        self._thread = Thread(target=self._write_all, name="capture", daemon=True)
        self._thread.start()

    def see(self, data: bytes, values: Sequence[float], rows: int) -> None:
        """Keep some of these rows, or drop them if the disk is behind."""
        size, outputs = len(data) // rows, self._model.engine.outputs
        for row in range(rows):
            if self._chance() < self._share:
                kept = time(), data[row * size : (row + 1) * size], values[row * outputs : (row + 1) * outputs]
                try:
                    self._waiting.put_nowait(kept)
                except Full:
                    self._own[self._behind] += 1

    def close(self) -> None:
        """Write what waits, within a moment."""
        try:
            self._waiting.put(None, timeout=_LAST_WORDS)
        except Full:
            return
        self._thread.join(_LAST_WORDS)

    def collect(self) -> Iterator[Family]:
        """Give the metrics."""
        written, failed, behind = self._board.sums(self._slots)
        outcomes = [({"outcome": "written"}, written), ({"outcome": "dropped"}, failed + behind)]
        yield Family("counter", "moorage_capture_rows", "Rows sampled for capture.", outcomes)

    def _write_all(self) -> None:
        while (kept := self._waiting.get()) is not None:
            line = orjson.dumps(self._described(kept), option=orjson.OPT_APPEND_NEWLINE)
            try:
                whole = os.write(self._file, line) == len(line)
            except OSError:  # a full disk, a pipe whose reader is behind or gone
                whole = False
            self._own[self._written if whole else self._failed] += 1
        os.close(self._file)

    def _described(self, kept: _Kept) -> dict[str, Any]:
        when, row, values = kept
        manifest = self._model.manifest
        numbers = struct.unpack(f"<{len(manifest.features)}f", row)
        return {
            "time": datetime.fromtimestamp(when, UTC).isoformat(timespec="milliseconds"),
            "model": manifest.name,
            "version": manifest.version,
            "row": dict(zip(manifest.feature_names, numbers, strict=True)),
            "prediction": values[0] if len(values) == 1 else list(values),
        }
