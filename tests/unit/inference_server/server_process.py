"""Servers as processes of their own, and clients that don't let go of them."""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[3]
BODY = json.dumps({"instances": [[8.3, 41.0, 880.0, 129.0, 322.0, 126.0, 37.88, -122.23]]})
# A number that is exact in 32 bits, and the digits that all ways of writing it share. No time stamp, duration or
# identifier contains those by chance.
MARK, MARKED = "1152921504606846976", "15292150460684"


class ServerProcess:
    """A server process on a free port. Its log lines are read as they come. `under` is a command that starts it."""

    def __init__(self, directory: Path, *arguments: str, under: Sequence[str] = (), **environment: str) -> None:
        command = [*under, sys.executable, "-m", "inference_server", "--model-dir", str(directory), "--port", "0"]
        env = {"PATH": os.environ["PATH"], **environment}
        self.process = subprocess.Popen(
            [*command, *arguments], cwd=ROOT, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        assert self.process.stdout
        assert self.process.stderr

    def read_line(self) -> dict[str, Any]:
        """Read the next log line."""
        assert self.process.stdout
        text = self.process.stdout.readline()
        return json.loads(text) if text else {}

    def wait_until_started(self) -> int:
        """Wait for the line that says so; give the port."""
        line = self.read_line()
        assert line["event"] == "started", (line, self.process.communicate())
        return int(line["address"].rpartition(":")[2])

    def wait_for_exit(self) -> tuple[int, list[dict[str, Any]], str]:
        """Wait for the exit; give its code, the remaining log and stderr."""
        out, err = self.process.communicate(timeout=60)
        return self.process.returncode, [json.loads(line) for line in out.splitlines()], err.decode()


def get(port: int, path: str) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    finally:
        connection.close()


def send(port: int, path: str, body: str | None = None, **headers: str) -> bytes:
    """Ask on a connection of its own, so that the kernel chooses a worker anew. Headers are given with underscores."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request("POST" if body else "GET", path, body, sent)
        return connection.getresponse().read()
    finally:
        connection.close()


class RepeatingClient(threading.Thread):
    """Sends a request again and again without a pause, until connecting is refused.

    On one kept connection, or on a new one each time. `count` says how often it was answered; `failures` is what was no
    200, or not the answer `right`.
    """

    def __init__(self, port: int, keep_alive: bool, body: str = BODY, expected: Any = None) -> None:
        super().__init__()
        self.count, self.failures = 0, []
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        self._keep_alive, self._body, self._expected = keep_alive, body, expected
        self.start()

    def run(self) -> None:
        try:
            while self._connected():
                self._connection.request("POST", "/predict", self._body)
                response = self._connection.getresponse()
                self._check(response.status, response.read())
                if not self._keep_alive:
                    self._connection.close()
        except (OSError, http.client.HTTPException) as error:
            self.failures.append(repr(error))

    def _connected(self) -> bool:
        try:
            if self._connection.sock is None:
                self._connection.connect()
        except ConnectionRefusedError:
            return False
        return True

    def _check(self, status: int, body: bytes) -> None:
        self.count += 1
        if status != 200 or self._expected not in (None, json.loads(body)["predictions"]):
            self.failures.append(f"{status} {body[:200]!r}")


def until(condition: Callable[[], bool], seconds: float = 60) -> None:
    """Wait until a condition holds; fail if it never does."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)
