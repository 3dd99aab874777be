"""The constant-rate generator counts every request that was due, once, by what became of it."""

from __future__ import annotations

import socketserver
import threading
from collections.abc import Callable, Iterator
from itertools import count

import pytest

from benchmarks.serving.open_loop import Generator, request

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngood"
WRONG = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"
UNAVAILABLE = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n"
REQUEST = request("/predict", {"Content-Type": "text/csv"}, b"1,2")

Script = Callable[[int], bytes | None]


class ScriptedServer(socketserver.ThreadingTCPServer):
    """Answers the n-th request, from 0 and over all connections, with what `say` gives; None: never."""

    script: Script

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), ScriptedHandler)
        self.numbers = count()
        self.port = int(self.server_address[1])


class ScriptedHandler(socketserver.BaseRequestHandler):
    server: ScriptedServer

    def handle(self) -> None:
        while data := self.request.recv(65536):
            assert data == REQUEST
            response = self.server.script(next(self.server.numbers))
            if response is not None:
                self.request.sendall(response)


@pytest.fixture
def start_server() -> Iterator[Callable[[Script], int]]:
    """Start a server that says so; give its port. The generator closes its connections, and so ends the threads."""
    with ScriptedServer() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))

        def start(script: Script) -> int:
            server.script = script
            thread.start()
            return server.port

        yield start
        server.shutdown()
        thread.join()


def test_responses_are_counted_by_outcome(start_server: Callable[[Script], int]) -> None:
    """Of every four answers two are good, one is 503, one has a wrong body.

    The first, on connecting, proves the way.
    """
    port = start_server(lambda number: (OK, OK, UNAVAILABLE, WRONG)[number % 4])
    generator = Generator(port, REQUEST, b"good", 1)
    generator.run(rate=400, seconds=0.1)
    unsent = generator.unsent
    assert len(generator.accepted) + len(generator.refused) + generator.failed + unsent == 40
    answered = 40 - unsent
    assert abs(len(generator.refused) - answered / 4) <= 1
    assert abs(generator.failed - answered / 4) <= 1
    assert sum(generator.successes) == len(generator.accepted)
    generator.close()


def test_silent_server_leaves_due_requests_unsent(start_server: Callable[[Script], int]) -> None:
    """Requests stay due although no answer comes: as many as there are connections fail, the rest are held."""
    port = start_server(lambda number: OK if number < 3 else None)
    generator = Generator(port, REQUEST, b"good", 3)
    generator.run(rate=500, seconds=0.1, grace=0.01)
    assert (generator.failed, generator.unsent, len(generator.accepted)) == (3, 47, 0)
    generator.close()


def test_header_names_are_case_insensitive(start_server: Callable[[Script], int]) -> None:
    """An answer is complete when it has the length it announces, however the header is written."""
    port = start_server(lambda _: OK.replace(b"Content-Length: ", b"content-length:"))
    generator = Generator(port, REQUEST, b"good", 2)
    generator.run(rate=100, seconds=0.1)
    assert generator.accepted
    assert len(generator.accepted) + generator.unsent == 10
    generator.close()
