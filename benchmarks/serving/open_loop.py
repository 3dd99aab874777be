"""A constant-rate load: each request is sent when its time has come, whatever became of those before it.

wrk waits for answers, so a server that is too slow slows it down; Debian's rate-limited tools (bombardier, hey) wait
too, and httperf and h2load hold a rate of connections, not of requests. So this is our own: one thread on epoll, one
prebuilt request, keep-alive connections that are opened beforehand. A request goes out on a connection that waits for
nothing; as real clients do, none is sent behind another on the same connection. If every connection waits, the server
holds as many requests as there are connections, and the request counts as turned away by it: `held`.

Latency counts from when a request was due, not from when it was sent; `late` is the difference, the generator's own
fault. A program of its own, on the load's core; the last line on stdout is the result.
"""

from __future__ import annotations

import json
import re
import select
import socket
import sys
import time
from array import array
from collections import deque
from pathlib import Path
from typing import Any, Final

from benchmarks.serving.summary import percentile

_BURST: Final = 32  # requests sent in a row, if so many are due, before answers are looked for; and the other way round
_LENGTH: Final = re.compile(rb"\r\ncontent-length: *(\d+)\r\n", re.IGNORECASE).search


class _Connection:
    """A keep-alive connection, and the time at which its request under way was due."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), 10)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.setblocking(False)
        self.due = 0.0
        self.received = b""


class Generator:
    """Sends `rate` requests a second for some seconds. What it saw is in its counters and arrays, in seconds."""

    def __init__(self, port: int, request: bytes, answer: bytes, connections: int) -> None:
        self._port, self._request, self._answer = port, request, answer
        self._epoll = select.epoll()
        self._connections: dict[int, _Connection] = {}
        self._idle: deque[_Connection] = deque()
        self.accepted, self.refused, self.send_delays = array("d"), array("d"), array("d")
        self.unsent = self.failed = self.reconnected = 0
        self.successes = [0]  # right answers by the second in which they arrived
        for _ in range(connections):
            self._connect()
            self._check_connection()

    def run(self, rate: float, seconds: float, grace: float = 10.0) -> None:
        """Send them all, and wait for the last answers, `patience` seconds at most."""
        clock = time.perf_counter
        total, sent = round(rate * seconds), 0
        self.successes = [0] * (int(seconds + grace) + 2)
        self._start = start = clock()
        while sent < total:
            now = clock()
            due = min(total, int((now - start) * rate) + 1)
            ready = min(due, sent + _BURST)
            while sent < ready and self._idle:
                self._send(start + sent / rate)
                sent += 1
            if not self._idle:  # counted at once: one by one would cost the generator the time for the others
                self.unsent += due - sent
                sent = due
            wait = start + sent / rate - clock()
            if wait > 50e-6:  # epoll's own timeout has no more than milliseconds
                select.select([self._epoll], [], [], wait)
            self._receive(0)
        deadline = clock() + grace
        while len(self._idle) < len(self._connections) and clock() < deadline:
            self._receive(0.05)
        self.failed += len(self._connections) - len(self._idle)

    def close(self) -> None:
        """Close all connections."""
        for connection in self._connections.values():
            connection.socket.close()
        self._epoll.close()

    def _send(self, due: float) -> None:
        connection = self._idle.popleft()
        connection.due = due
        try:
            connection.socket.send(self._request)  # far below the socket's buffer: all or nothing
        except OSError:
            self._reconnect(connection)
            return
        self.send_delays.append(time.perf_counter() - due)

    def _receive(self, wait: float) -> None:
        for descriptor, _ in self._epoll.poll(wait, _BURST):
            connection = self._connections[descriptor]
            try:
                data = connection.socket.recv(65536)
            except BlockingIOError:
                continue
            except OSError:
                data = b""
            if not data:
                self._reconnect(connection)
            elif _is_complete(data := connection.received + data):
                connection.received = b""
                self._count_response(connection, data)
            else:
                connection.received = data

    def _count_response(self, connection: _Connection, data: bytes) -> None:
        now = time.perf_counter()
        status = data[9:12]
        if status == b"200" and data.endswith(self._answer):
            self.accepted.append(now - connection.due)
            self.successes[int(now - self._start)] += 1
        elif status == b"503":
            self.refused.append(now - connection.due)
        else:
            self.failed += 1
        connection.due = 0.0
        self._idle.append(connection)

    def _connect(self) -> None:
        connection = _Connection(self._port)
        self._connections[connection.socket.fileno()] = connection
        self._epoll.register(connection.socket, select.EPOLLIN)
        self._idle.append(connection)

    def _check_connection(self) -> None:
        """Have one request answered on the newest connection: a handshake alone doesn't tell that it was accepted."""
        connection = self._idle.pop()
        connection.socket.settimeout(10)
        connection.socket.sendall(self._request)
        data = b""
        while not _is_complete(data):
            part = connection.socket.recv(65536)
            if not part:
                raise ConnectionError("the server closes connections before any load")
            data += part
        connection.socket.setblocking(False)
        self._idle.append(connection)

    def _reconnect(self, connection: _Connection) -> None:
        """Count a request whose connection broke, and open another. An idle connection may be closed by the server."""
        if connection.due:
            self.failed += 1
        else:
            self._idle.remove(connection)
        del self._connections[connection.socket.fileno()]
        connection.socket.close()
        self.reconnected += 1
        self._connect()


def _is_complete(data: bytes) -> bool:
    head = data.find(b"\r\n\r\n")
    if head < 0:
        return False
    length = _LENGTH(data, 0, head + 2)
    return length is not None and len(data) >= head + 4 + int(length[1])


def request(path: str, headers: dict[str, str], body: bytes) -> bytes:
    """Give a request's bytes."""
    lines = [f"POST {path} HTTP/1.1", "Host: 127.0.0.1", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join([*lines, f"Content-Length: {len(body)}", "", ""]).encode() + body


def main(settings: dict[str, Any]) -> None:
    """Run, and print what was seen. Times in seconds."""
    body, answer = Path(settings["body"]).read_bytes(), Path(settings["answer"]).read_bytes()
    message = request(settings["path"], settings["headers"], body)
    generator = Generator(settings["port"], message, answer, settings["connections"])
    before = time.process_time()
    generator.run(settings["rate"], settings["seconds"])
    generator.close()
    cpu_share = (time.process_time() - before) / settings["seconds"]
    accepted, refused, send_delays = (
        sorted(values) for values in (generator.accepted, generator.refused, generator.send_delays)
    )
    print(
        json.dumps(
            {
                "due": round(settings["rate"] * settings["seconds"]),
                "accepted": len(accepted),
                "refused": len(refused),
                "unsent": generator.unsent,
                "failed": generator.failed,
                "reconnected": generator.reconnected,
                "accepted_p50": percentile(accepted, 0.5),
                "accepted_p99": percentile(accepted, 0.99),
                "refused_p99": percentile(refused, 0.99),
                "send_delay_p50": percentile(send_delays, 0.5),
                "send_delay_p99": percentile(send_delays, 0.99),
                "send_delay_max": percentile(send_delays, 1),
                "successes_by_second": generator.successes[: int(settings["seconds"])],
                "generator_cpu_share": cpu_share,
            }
        )
    )


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
