"""Batching: predicts all rows that arrive in one iteration of the event loop with one engine call.

No request waits for a timer or for other requests. The engine call runs in the next iteration, if need be for one
request.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial

from inference_server.engine import Engine
from inference_server.signature import Rows

OnResult = Callable[[list[float] | Exception], None]


class Batcher:
    """Collects rows within one event loop.

    `on_batch` gets the packed rows, the values and the number of rows of each engine call.
    """

    def __init__(
        self, engine: Engine, loop: asyncio.AbstractEventLoop, on_batch: Callable[[bytes, list[float], int], None]
    ) -> None:
        self._engine, self._loop, self._on_batch = engine, loop, on_batch
        self._queue: list[tuple[Rows, OnResult]] = []

    def submit(self, rows: Rows, on_result: OnResult) -> None:
        """Queue `rows`; call `on_result` in the next iteration with their values or the exception.

        `on_result` must not raise.
        """
        if not self._queue:
            self._loop.call_soon(self._flush)
        self._queue.append((rows, on_result))

    def predict(self, rows: Rows) -> asyncio.Future[list[float]]:
        """Return a future of the values of `rows`."""
        future = self._loop.create_future()
        self.submit(rows, partial(_set_outcome, future))
        return future

    def _flush(self) -> None:
        batch, self._queue = self._queue, []
        total = sum(rows.count for rows, _ in batch)
        try:
            data = b"".join([rows.data for rows, _ in batch])
            values = self._engine.predict(data, total)
        except Exception as error:  # noqa: BLE001 - passed on to the waiting requests
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
    if future.done():  # the client has disconnected
        return
    if isinstance(outcome, Exception):
        future.set_exception(outcome)
    else:
        future.set_result(outcome)
