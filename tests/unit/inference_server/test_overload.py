"""Limits on waiting: a bounded number of requests, a bounded time, and large requests out of the way of small ones."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from .server_thread import EngineProxy, ThreadedServer

ROW = [8.3, 41.0, 880.0, 129.0, 322.0, 126.0, 37.88, -122.23]
SMALL = {"instances": [ROW]}
LARGE = {"instances": [ROW] * 2000}


class GatedEngine(EngineProxy):
    """An engine whose large predictions wait until the test opens the gate."""

    def __init__(self, engine: Any) -> None:
        super().__init__(engine)
        self.reached, self.open = threading.Event(), threading.Event()

    def predict(self, data: bytes, rows: int) -> list[float]:
        if rows > 1000:
            self.reached.set()
            assert self.open.wait(20)
        return self._engine.predict(data, rows)


@pytest.fixture
def start_gated(housing_bundle: Any) -> Iterator[Any]:
    """Start servers whose gate is opened at the latest when the test ends."""
    servers: list[ThreadedServer] = []

    def start(**options: Any) -> ThreadedServer:
        servers.append(ThreadedServer(housing_bundle, engine=GatedEngine, **options))
        return servers[-1]

    yield start
    for server in servers:
        server.service.model.engine.open.set()
        server.stop()


class BackgroundRequest(threading.Thread):
    """One request under way."""

    def __init__(self, server: ThreadedServer, body: Any) -> None:
        super().__init__()
        self.server, self.body, self.answer = server, body, None
        self.start()

    def run(self) -> None:
        self.answer = self.server.send("POST", "/predict", self.body)


def test_requests_beyond_the_limit_are_rejected_at_once(start_gated: Any) -> None:
    """With as many waiting as may, the next hears 503 and when to come back; pages still answer; later all is well."""
    server = start_gated(max_pending=1)
    gate = server.service.model.engine
    large = BackgroundRequest(server, LARGE)
    assert gate.reached.wait(10)
    for path in ("/predict", "/invocations", "/explain"):
        answer = server.send("POST", path, SMALL)
        assert (answer.status, answer.error["code"], answer.headers["retry-after"]) == (503, "overloaded", "1")
    answer = server.send("POST", "/", {"pred_x_csv": "1,2,3,4,5,6,7,8"})
    assert (answer.status, set(answer.json)) == (503, {"Error"})
    assert server.send("GET", "/livez").status == server.send("GET", "/readyz").status == 200
    gate.open.set()
    large.join(10)
    assert large.answer
    assert len(large.answer.json["predictions"]) == 2000
    assert server.send("POST", "/predict", SMALL).status == 200


def test_small_requests_overtake_large_ones(start_gated: Any) -> None:
    """While a large request is worked on, small ones and pages are answered."""
    server = start_gated()
    large = BackgroundRequest(server, LARGE)
    assert server.service.model.engine.reached.wait(10)
    assert server.send("POST", "/predict", SMALL).status == 200
    assert large.answer is None
    server.service.model.engine.open.set()
    large.join(10)
    assert large.answer
    assert large.answer.status == 200


def test_slow_answer_is_504(start_gated: Any) -> None:
    """After its time a request hears 504, its place is free again, and the server goes on."""
    server = start_gated(request_timeout=0.05, max_pending=1)
    answer = server.send("POST", "/predict", LARGE)
    assert (answer.status, answer.error["code"]) == (504, "answer_timeout")
    assert server.send("POST", "/predict", SMALL).status == 200


def test_large_bodies_share_a_memory_limit(start_gated: Any) -> None:
    """While one large body is held, a second beyond the bound is 503 before it is read; small ones pass.

    Later both do.
    """
    size = len(json.dumps(LARGE))
    server = start_gated(max_bodies=size + 1000)
    large = BackgroundRequest(server, LARGE)
    assert server.service.model.engine.reached.wait(10)
    for rest in (b"Content-Length: %d\r\n\r\n" % size, b"Transfer-Encoding: chunked\r\n\r\n186a0\r\n" + b" " * 100_000):
        with server.connect() as connection:
            connection.sendall(b"POST /predict HTTP/1.1\r\nHost: x\r\n" + rest)
            assert connection.recv(1000).startswith(b"HTTP/1.1 503 ")
    assert server.send("POST", "/predict", SMALL).status == 200
    server.service.model.engine.open.set()
    large.join(10)
    assert large.answer
    assert large.answer.status == server.send("POST", "/predict", LARGE).status == 200
