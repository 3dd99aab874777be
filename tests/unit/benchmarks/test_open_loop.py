"""The constant-rate generator counts every request that was due, once, by what became of it."""

from __future__ import annotations

import socketserver
import threading
from collections.abc import Callable, Iterator
from itertools import count

import pytest

from benchmarks.serving.open_loop import Generator, request

GOOD = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngood"
WRONG = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"
FULL = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n"
REQUEST = request("/predict", {"Content-Type": "text/csv"}, b"1,2")

AnswerScript = Callable[[int], bytes | None]


class Server(socketserver.ThreadingTCPServer):
    """Answers the n-th request, from 0 and over all connections, with what `say` gives; None: never."""

    say: AnswerScript

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.numbers = count()
        self.port = int(self.server_address[1])


class Answer(socketserver.BaseRequestHandler):
    server: Server

    def handle(self) -> None:
        while data := self.request.recv(65536):
            assert data == REQUEST
            said = self.server.say(next(self.server.numbers))
            if said is not None:
                self.request.sendall(said)


@pytest.fixture
def serve() -> Iterator[Callable[[AnswerScript], int]]:
    """Start a server that says so; give its port. The generator closes its connections, and so ends the threads."""
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))

        def begin(say: AnswerScript) -> int:
            server.say = say
            thread.start()
            return server.port

        yield begin
        server.shutdown()
        thread.join()


def test_outcomes_are_counted_by_kind(serve: Callable[[AnswerScript], int]) -> None:
    """Of every four answers two are good, one is 503, one has a wrong body; the first, on connecting, proves the way."""
    port = serve(lambda number: (GOOD, GOOD, FULL, WRONG)[number % 4])
    generator = Generator(port, REQUEST, b"good", 1)
    generator.run(rate=400, seconds=0.1)
    held = generator.held
    assert len(generator.accepted) + len(generator.refused) + generator.failed + held == 40
    answered = 40 - held
    assert abs(len(generator.refused) - answered / 4) <= 1
    assert abs(generator.failed - answered / 4) <= 1
    assert sum(generator.good) == len(generator.accepted)
    generator.close()


def test_silent_server_leaves_requests_due(serve: Callable[[AnswerScript], int]) -> None:
    """Requests stay due although no answer comes: as many as there are connections fail, the rest are held."""
    port = serve(lambda number: GOOD if number < 3 else None)
    generator = Generator(port, REQUEST, b"good", 3)
    generator.run(rate=500, seconds=0.1, patience=0.01)
    assert (generator.failed, generator.held, len(generator.accepted)) == (3, 47, 0)
    generator.close()


def test_header_names_are_case_insensitive(serve: Callable[[AnswerScript], int]) -> None:
    """An answer is complete when it has the length it announces, however the header is written."""
    port = serve(lambda _: GOOD.replace(b"Content-Length: ", b"content-length:"))
    generator = Generator(port, REQUEST, b"good", 2)
    generator.run(rate=100, seconds=0.1)
    assert generator.accepted
    assert len(generator.accepted) + generator.held == 10
    generator.close()
