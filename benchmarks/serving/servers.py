"""Servers under measurement: how one is started and asked. None is timed before it has predicted rightly."""

from __future__ import annotations

import http.client
import math
import socket
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from benchmarks.serving import processes
from benchmarks.serving.processes import SERVER_CORE, UnmeasurableError
from benchmarks.serving.virtualenvs import ROOT, WORK_DIR

_START_SECONDS: Final = 60


@dataclass(frozen=True)
class Server:
    """A way of serving the model, and the one request that it is measured with.

    `command` gives the arguments for a port, `read` the predictions in an answer, `expected` what they must be.
    """

    name: str
    command: Callable[[int], Sequence[str]]
    path: str
    body: bytes
    read: Callable[[bytes], Sequence[float]]
    expected: Sequence[float]
    headers: Mapping[str, str] = field(default_factory=lambda: {"Content-Type": "application/json"})
    environment: Mapping[str, str] = field(default_factory=dict)
    directory: Path = ROOT


@dataclass(frozen=True)
class Running:
    """A server that answers, rightly. `answer` is what it said; `body_file` holds the request's body."""

    server: Server
    pid: int
    port: int
    answer: bytes
    body_file: Path


@contextmanager
def running(server: Server) -> Iterator[Running]:
    """Start a server on its core, wait until it predicts, and stop it at the end."""
    port = free_port()
    body_file, log_file = WORK_DIR / "body", WORK_DIR / f"{server.name.replace(' ', '-')}.log"
    body_file.write_bytes(server.body)
    with log_file.open("wb") as log:
        process = processes.start(
            server.command(port), SERVER_CORE, environment=server.environment, cwd=server.directory, output=log.fileno()
        )
        try:
            answer = first_answer(server, port, lambda: process.poll() is None)
            yield Running(server, process.pid, port, answer, body_file)
        except UnmeasurableError as error:
            raise UnmeasurableError(f"{error}; its log: {log_file}") from None
        finally:
            processes.stop(process)


def first_answer(server: Server, port: int, is_alive: Callable[[], bool]) -> bytes:
    """Ask until the server is there. Raise UnmeasurableError if it then doesn't give the right predictions."""
    deadline = time.monotonic() + _START_SECONDS
    status, answer = ask(server, port)
    while status != 200:
        if not is_alive() or time.monotonic() > deadline:
            raise UnmeasurableError(f"{server.name} doesn't answer: {status} {answer[:500]!r}")
        time.sleep(0.001)
        status, answer = ask(server, port)
    values = server.read(answer)
    if len(values) != len(server.expected) or not all(map(_is_close, values, server.expected)):
        raise UnmeasurableError(f"{server.name} predicts {list(values[:3])}, not {list(server.expected[:3])}")
    return answer


def ask(server: Server, port: int) -> tuple[int, bytes]:
    """Send the request once. Give status and body; 0 and the reason if nobody is there."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_START_SECONDS)
    try:
        connection.request("POST", server.path, server.body, dict(server.headers))
        response = connection.getresponse()
        return response.status, response.read()
    except (OSError, http.client.HTTPException) as error:
        return 0, str(error).encode()
    finally:
        connection.close()


def free_port() -> int:
    """Give a port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def _is_close(value: float, expected: float) -> bool:
    return math.isclose(value, expected, rel_tol=1e-6)
