"""Predicts together what arrived together: all rows read in one turn of the event loop go to the engine in one call.

No request ever waits for a timer or for company: the call is made in the loop's next turn, alone if nobody else came.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from inference_server.engine import Engine
from inference_server.signature import Rows


class Batcher:
    """Collects rows of one event loop. `on_batch` hears of each call to the engine: packed rows, values, how many rows."""

    def __init__(
        self, engine: Engine, loop: asyncio.AbstractEventLoop, on_batch: Callable[[bytes, list[float], int], None]
    ) -> None:
        self._engine, self._loop, self._on_batch = engine, loop, on_batch
        self._waiting: list[tuple[Rows, asyncio.Future[list[float]]]] = []

    def predict(self, rows: Rows) -> asyncio.Future[list[float]]:
        """Give the future values of `rows`."""
        future = self._loop.create_future()
        if not self._waiting:
            self._loop.call_soon(self._flush)
        self._waiting.append((rows, future))
        return future

    def _flush(self) -> None:
        batch, self._waiting = self._waiting, []
        total = sum(rows.count for rows, _ in batch)
        try:
            data = b"".join([rows.data for rows, _ in batch])
            values = self._engine.predict(data, total)
        except Exception as error:  # noqa: BLE001 - whatever it is belongs to those who wait
            for _, future in batch:
                if not future.done():
                    future.set_exception(error)
            return
        start = 0
        for rows, future in batch:
            end = start + rows.count * self._engine.outputs
            if not future.done():  # its client may have gone
                future.set_result(values[start:end])
            start = end
        self._on_batch(data, values, total)
