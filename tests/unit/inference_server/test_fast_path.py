"""The short way of a connection: the same answers as on the long way, in the order of the requests."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from inference_server.connection import Connection
from inference_server.options import Options

from .model_bundles import same_floats

ROW = [8.3, 41.0, 880.0, 129.0, 322.0, 126.0, 37.88, -122.23]
FAST = b"POST /fast HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\n%d"
SLOW = b"GET /slow/%d HTTP/1.1\r\nHost: x\r\n\r\n"


class ManualHandler:
    """Decides as a transport does, but holds what is on the short way until the test lets it go."""

    def __init__(self) -> None:
        self.pending: list[tuple[bytes, Any]] = []
        self.delayed: list[bool] = []

    def fast_path(self, message: Any, payload: Any, delayed: bool) -> Any:
        if message.url.path != "/fast":
            return None
        self.delayed.append(delayed)
        return lambda write: self.pending.append((payload.read_nowait(), write))

    def answer(self, status: int = 200, **headers: str) -> None:
        """Answer what was held longest."""
        body, write = self.pending.pop(0)
        write(
            status,
            {"Server": "test", **{name.replace("_", "-"): text for name, text in headers.items()}},
            b"fast " + body,
        )


async def _slow(request: web.BaseRequest) -> web.Response:
    return web.Response(text=request.path)


async def run_loop() -> None:
    """Let the event loop turn until what could go on has gone on."""
    for _ in range(30):
        await asyncio.sleep(0)


async def wait_until(reached: Callable[[], object]) -> None:
    """Wait until something is so."""
    async with asyncio.timeout(10):
        while not reached():  # noqa: ASYNC110 - a timer of the connection tells nobody
            await asyncio.sleep(0.001)


class ClientSocket:
    """The other end of a connection."""

    def __init__(self, end: socket.socket) -> None:
        self.socket, self._seen = end, b""
        end.setblocking(False)

    def bodies(self) -> list[bytes]:
        """Give the bodies that have been written so far."""
        with contextlib.suppress(BlockingIOError):
            self._seen += self.socket.recv(65536)
        return re.findall(rb"\r\n\r\n(fast \d|/slow/\d|/fast)", self._seen)


def run_connected(test: Callable[[ManualHandler, Connection, ClientSocket], Awaitable[None]]) -> None:
    """Run a test on a connection whose client it is."""

    async def run() -> None:
        handler, server = ManualHandler(), web.Server(_slow)
        ours, theirs = socket.socketpair()
        connection = Connection(handler, server, asyncio.get_running_loop(), Options(model_dir=Path()))
        await asyncio.get_running_loop().connect_accepted_socket(lambda: connection, ours)
        await run_loop()
        try:
            await test(handler, connection, ClientSocket(theirs))
        finally:
            await server.shutdown(1)
            theirs.close()

    asyncio.run(run())


def test_pipelined_requests_are_answered_in_order() -> None:
    """Of pipelined requests none begins before the last is answered, whichever way each takes."""

    async def test(handler: ManualHandler, connection: Connection, client: ClientSocket) -> None:
        connection.data_received(FAST % 1 + SLOW % 2)
        connection.data_received(FAST % 3 + FAST % 4)
        await run_loop()
        assert (len(handler.pending), client.bodies()) == (1, [])
        handler.answer()
        await run_loop()
        # The long way, once at work, goes on with what has come meanwhile.
        assert (handler.pending, client.bodies()) == ([], [b"fast 1", b"/slow/2", b"/fast", b"/fast"])
        connection.data_received(FAST % 5 + FAST % 6)
        for left in (1, 1):
            assert len(handler.pending) == left
            handler.answer()
        await run_loop()
        assert client.bodies()[4:] == [b"fast 5", b"fast 6"]

    run_connected(test)


def test_hundred_pipelined_requests_are_all_answered() -> None:
    """A hundred requests in one piece are all answered, in order, though aiohttp parses a few dozen ahead at most."""

    async def test(handler: ManualHandler, connection: Connection, client: ClientSocket) -> None:
        connection.data_received(b"".join(FAST % (number % 10) for number in range(100)))
        for number in range(100):
            assert len(handler.pending) == 1
            handler.answer()
            await run_loop()
            assert client.bodies()[number:] == [b"fast %d" % (number % 10)]

    run_connected(test)


def test_lost_connection_is_not_written_to() -> None:
    """An answer for a connection that is lost goes nowhere, and what was pipelined behind it never begins."""

    async def test(handler: ManualHandler, connection: Connection, _: ClientSocket) -> None:
        connection.data_received(FAST % 1)
        assert connection.transport is not None
        connection.transport.abort()
        await run_loop()
        assert connection.transport is None
        handler.answer()
        await run_loop()
        assert not handler.pending

    run_connected(test)


def test_reads_pause_after_retry_after_and_mark_delayed_requests() -> None:
    """After a 503 the connection isn't read for a while.

    What was sent meanwhile is marked as late, what follows isn't.
    """

    async def test(handler: ManualHandler, connection: Connection, client: ClientSocket) -> None:
        connection.data_received(FAST % 1)
        handler.answer(503, Retry_After="1")
        assert client.bodies() == [b"fast 1"]
        assert connection.transport is not None
        assert not connection.transport.is_reading()
        client.socket.sendall(FAST % 2)
        await wait_until(lambda: handler.pending)
        assert handler.delayed == [False, True]
        handler.answer()
        while handler.delayed[-1]:
            client.socket.sendall(FAST % 3)
            await wait_until(lambda: handler.pending)
            handler.answer()

    run_connected(test)


def _request_bytes(body: bytes, path: bytes, *headers: bytes) -> bytes:
    lines = [b"POST " + path + b" HTTP/1.1", b"Host: x", b"Content-Length: %d" % len(body), *headers]
    return b"\r\n".join([*lines, b"", b""]) + body


_REQUEST_ID = b"X-Request-Id: one"


@pytest.mark.parametrize(
    "request_",
    [
        _request_bytes(json.dumps({"instances": [ROW]}).encode(), b"/predict", _REQUEST_ID),
        _request_bytes(json.dumps({"instances": [ROW[:7]]}).encode(), b"/predict", _REQUEST_ID),
        _request_bytes(b"{", b"/predict?query", _REQUEST_ID),
        _request_bytes(b"{", b"/%70redict", _REQUEST_ID, b"Content-Type: text/html"),
        _request_bytes(b"1,2,3,4,5,6,7,8\n8,7,6,5,4,3,2,1", b"/invocations", _REQUEST_ID, b"Content-Type: text/csv"),
        _request_bytes(b"1,2", b"/invocations", _REQUEST_ID, b"Accept: image/png"),
        _request_bytes(b'{"pred_x_csv": "1,2,3,4,5,6,7,8", "response_content_type": "text/plain"}', b"/", _REQUEST_ID),
        _request_bytes(b'{"pred_x_csv": "1"}', b"/", _REQUEST_ID),
        _request_bytes(b"{}", b"/v2/models/housing/infer", _REQUEST_ID),
        _request_bytes(b"", b"/predict", _REQUEST_ID),
    ],
)
def test_fast_path_and_regular_path_answer_alike(housing_bundle: Any, start_server: Any, request_: bytes) -> None:
    """A request on a connection that is kept, and the same on one that is to be closed, get the same status, headers,
    body.
    """
    server = start_server(housing_bundle)
    with server.connect() as connection:
        connection.sendall(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
        assert connection.recv(65536).startswith(b"HTTP/1.1 200 OK\r\n")
        connection.sendall(request_)
        fast = connection.recv(65536)
    slow = server.send_raw(request_.replace(b"Host: x", b"Host: x\r\nConnection: close", 1))
    assert fast.startswith(b"HTTP/1.1 ")
    assert _comparable(fast) == _comparable(slow)


def _comparable(answer: bytes) -> tuple[list[bytes], bytes]:
    head, _, body = answer.partition(b"\r\n\r\n")
    return sorted(line for line in head.split(b"\r\n") if not line.startswith((b"Date:", b"Connection:"))), body


def test_fragmented_requests_are_answered(housing_bundle: Any, start_server: Any) -> None:
    """A request in single bytes, then one in two pieces, then one as a whole: all on one connection, all right."""
    server = start_server(housing_bundle)
    request = _request_bytes(json.dumps({"instances": [ROW]}).encode(), b"/predict")
    expected = server.send("POST", "/predict", {"instances": [ROW]}).json["predictions"]
    with server.connect() as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for pieces in ([request[at : at + 1] for at in range(len(request))], [request[:60], request[60:]], [request]):
            for piece in pieces:
                connection.sendall(piece)
            body = connection.recv(65536).partition(b"\r\n\r\n")[2]
            assert same_floats(json.loads(body)["predictions"], expected)


def test_thousands_of_pipelined_rejections_do_not_overflow_the_stack(housing_bundle: Any, start_server: Any) -> None:
    """3,000 pipelined requests that are all refused where they are read get their 3,000 answers."""
    request = _request_bytes(b"{", b"/predict")
    answer = start_server(housing_bundle).send_raw(
        request * 2999 + request.replace(b"Host: x", b"Host: x\r\nConnection: close", 1)
    )
    assert answer.count(b"HTTP/1.1 400 Bad Request\r\n") == 3000
