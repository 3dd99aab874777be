"""Many clients at once: each gets the predictions of its own rows, whoever it was predicted together with."""

from __future__ import annotations

import asyncio
import json
import re
from typing import Any

import aiohttp
import numpy as np

from .model_bundles import same_floats, to_lists


def test_concurrent_clients_get_their_own_predictions(train_bundle: Any, start_server: Any) -> None:
    """400 requests of 1 to 5 rows over 64 connections, with several classes: the bits are right for each, and many
    shared a call.
    """
    bundle = train_bundle("multi:softprob")
    server = start_server(bundle)
    expected = bundle.predict(bundle.rows)
    starts = [(start, 1 + start % 5) for start in range(400)]

    async def run() -> list[bytes]:
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=64)) as session:

            async def one(start: int, count: int) -> bytes:
                body = {"instances": to_lists(bundle.rows[start : start + count])}
                async with session.post(f"http://127.0.0.1:{server.port}/predict", json=body) as response:
                    assert response.status == 200
                    return await response.read()

            return await asyncio.gather(*(one(*each) for each in starts))

    for (start, count), answer in zip(starts, asyncio.run(run()), strict=True):
        assert same_floats(json.loads(answer)["predictions"], expected[start : start + count])
    page = server.send("GET", "/metrics").body.decode()
    calls, rows = (
        float(re.search(rf"^moorage_batch_rows_{name} (\S+)", page, re.MULTILINE)[1]) for name in ("count", "sum")
    )
    assert rows == np.sum([count for _, count in starts])
    assert calls < len(starts)


def test_disconnected_clients_leave_nothing_pending(housing_bundle: Any, start_server: Any) -> None:
    """Clients that hang up in mid-request leave the others' answers right, and nothing waiting."""
    server = start_server(housing_bundle)
    for _ in range(20):
        with server.connect() as connection:
            connection.sendall(b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
    answer = server.send("POST", "/predict", {"instances": to_lists(housing_bundle.rows[:3])})
    assert same_floats(answer.json["predictions"], housing_bundle.predict(housing_bundle.rows[:3]))
    assert b"moorage_requests_pending 0.0" in server.send("GET", "/metrics").body
