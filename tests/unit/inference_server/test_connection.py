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

from .bundles import same_bits

ROW = [8.3, 41.0, 880.0, 129.0, 322.0, 126.0, 37.88, -122.23]
SHORT = b"POST /short HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\n%d"
LONG = b"GET /long/%d HTTP/1.1\r\nHost: x\r\n\r\n"


class Held:
    """Decides as a transport does, but holds what is on the short way until the test lets it go."""

    def __init__(self) -> None:
        self.begun: list[tuple[bytes, Any]] = []
        self.late: list[bool] = []

    def short_way(self, message: Any, payload: Any, late: bool) -> Any:
        if message.url.path != "/short":
            return None
        self.late.append(late)
        return lambda write: self.begun.append((payload.read_nowait(), write))

    def answer(self, status: int = 200, **headers: str) -> None:
        """Answer what was held longest."""
        body, write = self.begun.pop(0)
        write(
            status,
            {"Server": "test", **{name.replace("_", "-"): text for name, text in headers.items()}},
            b"short " + body,
        )


async def _long(request: web.BaseRequest) -> web.Response:
    return web.Response(text=request.path)


async def turns() -> None:
    """Let the event loop turn until what could go on has gone on."""
    for _ in range(30):
        await asyncio.sleep(0)


async def until(reached: Callable[[], object]) -> None:
    """Wait until something is so."""
    async with asyncio.timeout(10):
        while not reached():  # noqa: ASYNC110 - a timer of the connection tells nobody
            await asyncio.sleep(0.001)


class Client:
    """The other end of a connection."""

    def __init__(self, end: socket.socket) -> None:
        self.socket, self._seen = end, b""
        end.setblocking(False)

    def bodies(self) -> list[bytes]:
        """Give the bodies that have been written so far."""
        with contextlib.suppress(BlockingIOError):
            self._seen += self.socket.recv(65536)
        return re.findall(rb"\r\n\r\n(short \d|/long/\d|/short)", self._seen)


def connected(test: Callable[[Held, Connection, Client], Awaitable[None]]) -> None:
    """Run a test on a connection whose client it is."""

    async def run() -> None:
        held, server = Held(), web.Server(_long)
        ours, theirs = socket.socketpair()
        connection = Connection(held, server, asyncio.get_running_loop(), Options(model_dir=Path()))
        await asyncio.get_running_loop().connect_accepted_socket(lambda: connection, ours)
        await turns()
        try:
            await test(held, connection, Client(theirs))
        finally:
            await server.shutdown(1)
            theirs.close()

    asyncio.run(run())


def test_nothing_overtakes() -> None:
    """Of pipelined requests none begins before the last is answered, whichever way each takes."""

    async def test(held: Held, connection: Connection, client: Client) -> None:
        connection.data_received(SHORT % 1 + LONG % 2)
        connection.data_received(SHORT % 3 + SHORT % 4)
        await turns()
        assert (len(held.begun), client.bodies()) == (1, [])
        held.answer()
        await turns()
        # The long way, once at work, goes on with what has come meanwhile.
        assert (held.begun, client.bodies()) == ([], [b"short 1", b"/long/2", b"/short", b"/short"])
        connection.data_received(SHORT % 5 + SHORT % 6)
        for left in (1, 1):
            assert len(held.begun) == left
            held.answer()
        await turns()
        assert client.bodies()[4:] == [b"short 5", b"short 6"]

    connected(test)


def test_a_long_queue_is_not_read_ahead() -> None:
    """A hundred requests in one piece are all answered, in order, though aiohttp parses a few dozen ahead at most."""

    async def test(held: Held, connection: Connection, client: Client) -> None:
        connection.data_received(b"".join(SHORT % (number % 10) for number in range(100)))
        for number in range(100):
            assert len(held.begun) == 1
            held.answer()
            await turns()
            assert client.bodies()[number:] == [b"short %d" % (number % 10)]

    connected(test)


def test_a_client_that_has_gone_is_not_written_to() -> None:
    """An answer for a connection that is lost goes nowhere, and what was pipelined behind it never begins."""

    async def test(held: Held, connection: Connection, _: Client) -> None:
        connection.data_received(SHORT % 1)
        assert connection.transport is not None
        connection.transport.abort()
        await turns()
        assert connection.transport is None
        held.answer()
        await turns()
        assert not held.begun

    connected(test)


def test_who_was_told_to_come_back_later_is_not_heard_meanwhile() -> None:
    """After a 503 the connection isn't read for a while; what was sent meanwhile is marked as late, what follows isn't."""

    async def test(held: Held, connection: Connection, client: Client) -> None:
        connection.data_received(SHORT % 1)
        held.answer(503, Retry_After="1")
        assert client.bodies() == [b"short 1"]
        assert connection.transport is not None
        assert not connection.transport.is_reading()
        client.socket.sendall(SHORT % 2)
        await until(lambda: held.begun)
        assert held.late == [False, True]
        held.answer()
        while held.late[-1]:
            client.socket.sendall(SHORT % 3)
            await until(lambda: held.begun)
            held.answer()

    connected(test)


def _raw(body: bytes, path: bytes, *headers: bytes) -> bytes:
    lines = [b"POST " + path + b" HTTP/1.1", b"Host: x", b"Content-Length: %d" % len(body), *headers]
    return b"\r\n".join([*lines, b"", b""]) + body


_IDENTIFIED = b"X-Request-Id: one"


@pytest.mark.parametrize(
    "request_",
    [
        _raw(json.dumps({"instances": [ROW]}).encode(), b"/predict", _IDENTIFIED),
        _raw(json.dumps({"instances": [ROW[:7]]}).encode(), b"/predict", _IDENTIFIED),
        _raw(b"{", b"/predict?query", _IDENTIFIED),
        _raw(b"{", b"/%70redict", _IDENTIFIED, b"Content-Type: text/html"),
        _raw(b"1,2,3,4,5,6,7,8\n8,7,6,5,4,3,2,1", b"/invocations", _IDENTIFIED, b"Content-Type: text/csv"),
        _raw(b"1,2", b"/invocations", _IDENTIFIED, b"Accept: image/png"),
        _raw(b'{"pred_x_csv": "1,2,3,4,5,6,7,8", "response_content_type": "text/plain"}', b"/", _IDENTIFIED),
        _raw(b'{"pred_x_csv": "1"}', b"/", _IDENTIFIED),
        _raw(b"{}", b"/v2/models/housing/infer", _IDENTIFIED),
        _raw(b"", b"/predict", _IDENTIFIED),
    ],
)
def test_both_ways_give_the_same_answer(housing: Any, serve: Any, request_: bytes) -> None:
    """A request on a connection that is kept, and the same on one that is to be closed, get the same status, headers, body."""
    server = serve(housing)
    with server.connect() as connection:
        connection.sendall(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
        assert connection.recv(65536).startswith(b"HTTP/1.1 200 OK\r\n")
        connection.sendall(request_)
        short = connection.recv(65536)
    long = server.raw(request_.replace(b"Host: x", b"Host: x\r\nConnection: close", 1))
    assert short.startswith(b"HTTP/1.1 ")
    assert _lines(short) == _lines(long)


def _lines(answer: bytes) -> tuple[list[bytes], bytes]:
    head, _, body = answer.partition(b"\r\n\r\n")
    return sorted(line for line in head.split(b"\r\n") if not line.startswith((b"Date:", b"Connection:"))), body


def test_what_comes_in_pieces_is_answered(housing: Any, serve: Any) -> None:
    """A request in single bytes, then one in two pieces, then one as a whole: all on one connection, all right."""
    server = serve(housing)
    request = _raw(json.dumps({"instances": [ROW]}).encode(), b"/predict")
    expected = server.ask("POST", "/predict", {"instances": [ROW]}).json["predictions"]
    with server.connect() as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for pieces in ([request[at : at + 1] for at in range(len(request))], [request[:60], request[60:]], [request]):
            for piece in pieces:
                connection.sendall(piece)
            body = connection.recv(65536).partition(b"\r\n\r\n")[2]
            assert same_bits(json.loads(body)["predictions"], expected)


def test_thousands_at_once_are_refused_one_by_one(housing: Any, serve: Any) -> None:
    """3,000 pipelined requests that are all refused where they are read get their 3,000 answers."""
    request = _raw(b"{", b"/predict")
    answer = serve(housing).raw(request * 2999 + request.replace(b"Host: x", b"Host: x\r\nConnection: close", 1))
    assert answer.count(b"HTTP/1.1 400 Bad Request\r\n") == 3000
