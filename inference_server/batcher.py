"""Predicts together what arrived together: all rows read in one turn of the event loop go to the engine in one call.

No request ever waits for a timer or for company: the call is made in the loop's next turn, alone if nobody else came.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial

from inference_server.engine import Engine
from inference_server.signature import Rows

OnResult = Callable[[list[float] | Exception], None]


class Batcher:
    """Collects rows of one event loop. `on_batch` hears of each call to the engine: packed rows, values, how many rows."""

    def __init__(
        self, engine: Engine, loop: asyncio.AbstractEventLoop, on_batch: Callable[[bytes, list[float], int], None]
    ) -> None:
        self._engine, self._loop, self._on_batch = engine, loop, on_batch
        self._queue: list[tuple[Rows, OnResult]] = []

    def submit(self, rows: Rows, on_result: OnResult) -> None:
        """Have the values of `rows`, or why there are none, told in the loop's next turn. `tell` must not raise."""
        if not self._queue:
            self._loop.call_soon(self._flush)
        self._queue.append((rows, on_result))

    def predict(self, rows: Rows) -> asyncio.Future[list[float]]:
        """Give the future values of `rows`."""
        future = self._loop.create_future()
        self.submit(rows, partial(_set_outcome, future))
        return future

    def _flush(self) -> None:
        batch, self._queue = self._queue, []
        total = sum(rows.count for rows, _ in batch)
        try:
            data = b"".join([rows.data for rows, _ in batch])
            values = self._engine.predict(data, total)
        except Exception as error:  # noqa: BLE001 - whatever it is belongs to those who wait
            for _, on_result in batch:
                on_result(error)
            return
        start = 0
        for rows, on_result in batch:
            end = start + rows.count * self._engine.outputs
            on_result(values[start:end])
            start = end
        self._on_batch(data, values, total)


def _set_outcome(future: asyncio.Future[list[float]], outcome: list[float] | Exception) -> None:
    if future.done():  # its client has gone
        return
    if isinstance(outcome, Exception):
        future.set_exception(outcome)
    else:
        future.set_result(outcome)
