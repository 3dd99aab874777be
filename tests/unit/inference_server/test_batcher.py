"""Rows that arrive in one turn of the event loop are predicted in one call; nobody waits for company."""

from __future__ import annotations

import asyncio
import struct

import pytest

from inference_server.batcher import Batcher
from inference_server.signature import Rows


class DoublingEngine:
    """Stands for an engine with one feature and one output: doubles each value and counts its calls."""

    outputs = 1

    def __init__(self) -> None:
        self.calls: list[int] = []

    def predict(self, data: bytes, rows: int) -> list[float]:
        self.calls.append(rows)
        values = struct.unpack(f"<{rows}f", data)
        if -1.0 in values:
            raise RuntimeError("planted")
        return [2 * value for value in values]


def rows(*values: float) -> Rows:
    return Rows(struct.pack(f"<{len(values)}f", *values), len(values))


def test_requests_of_one_iteration_share_an_engine_call() -> None:
    """Three requests of one turn share a call; each gets the values of its own rows, in order."""

    async def run() -> None:
        engine, batches = DoublingEngine(), []
        batcher = Batcher(engine, asyncio.get_running_loop(), lambda *batch: batches.append(batch))  # type: ignore[arg-type]
        assert await asyncio.gather(*map(batcher.predict, (rows(1), rows(2, 3), rows(4)))) == [[2], [4, 6], [8]]
        assert await batcher.predict(rows(5)) == [10]
        assert engine.calls == [4, 1]
        assert batches == [(rows(1, 2, 3, 4).data, [2, 4, 6, 8], 4), (rows(5).data, [10], 1)]

    asyncio.run(run())


def test_single_request_needs_no_timer() -> None:
    """A lone request is answered within two turns of the loop."""

    async def run() -> None:
        engine = DoublingEngine()
        future = Batcher(engine, asyncio.get_running_loop(), lambda *_: None).predict(rows(1))  # type: ignore[arg-type]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert future.done()

    asyncio.run(run())


def test_cancelled_request_leaves_other_results_intact() -> None:
    """A cancelled request leaves the others' values where they belong."""

    async def run() -> None:
        batcher = Batcher(DoublingEngine(), asyncio.get_running_loop(), lambda *_: None)  # type: ignore[arg-type]
        futures = [batcher.predict(rows(value)) for value in (1, 2, 3)]
        futures[1].cancel()
        assert await asyncio.gather(futures[0], futures[2]) == [[2], [6]]

    asyncio.run(run())


def test_engine_failure_reaches_only_its_own_batch() -> None:
    """If the engine fails, those of that turn hear it; the next turn is fine."""

    async def run() -> None:
        batcher = Batcher(DoublingEngine(), asyncio.get_running_loop(), lambda *_: None)  # type: ignore[arg-type]
        futures = [batcher.predict(rows(value)) for value in (1, -1)]
        for future in futures:
            with pytest.raises(RuntimeError, match="planted"):
                await future
        assert await batcher.predict(rows(7)) == [14]

    asyncio.run(run())
