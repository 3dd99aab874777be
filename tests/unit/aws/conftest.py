"""A loopback server that answers as scripted, in place of AWS."""

from __future__ import annotations

import json
import re
import threading
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from controller.aws import AwsClient, Hook, RateLimiter, connect

ACCOUNT = "123456789012"
_IDENTITY = (
    "<GetCallerIdentityResponse xmlns='https://sts.amazonaws.com/doc/2011-06-15/'><GetCallerIdentityResult>"
    f"<Arn>arn:aws:iam::{ACCOUNT}:user/test</Arn><UserId>U</UserId><Account>{ACCOUNT}</Account>"
    "</GetCallerIdentityResult></GetCallerIdentityResponse>"
)


@dataclass
class Request:
    """What arrived: the service of the signature's scope, the target header, and the raw body."""

    service: str
    target: str
    path: str
    body: bytes
    headers: Mapping[str, str]

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class ScriptedAnswer:
    """A scripted answer; `cut` closes the connection once the request was read, or after half of the body."""

    status: int = 200
    body: bytes = b"{}"
    cut: bool = False

    @classmethod
    def json(cls, value: Any, status: int = 200) -> ScriptedAnswer:
        return cls(status, json.dumps(value).encode())

    @classmethod
    def error(cls, code: str, message: str = "", status: int = 400) -> ScriptedAnswer:
        return cls.json({"__type": code, "message": message}, status)


@dataclass
class ScriptedServer:
    """The server's side of the test: answers to give, requests that came. STS always says who asks."""

    url: str = ""
    answers: deque[ScriptedAnswer] = field(default_factory=deque)
    requests: list[Request] = field(default_factory=list)

    def seen(self, service: str) -> list[Request]:
        return [request for request in self.requests if request.service == service]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    script: ScriptedServer

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        scope = re.search(r"Credential=[^/]+/\d+/[^/]+/([^/]+)/", self.headers.get("Authorization", ""))
        service = scope[1] if scope else ""
        target = self.headers.get("X-Amz-Target", "").rpartition(".")[2]
        self.script.requests.append(Request(service, target, self.path, body, dict(self.headers)))
        if service == "sts" and b"GetCallerIdentity" in body:
            return self._send(ScriptedAnswer(200, _IDENTITY.encode()))
        return self._send(self.script.answers.popleft() if self.script.answers else ScriptedAnswer())

    do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = _answer  # noqa: N815  (http.server asks for these names)

    def _send(self, answer: ScriptedAnswer) -> None:
        if answer.cut and not answer.body:
            self.close_connection = True
            return
        self.send_response(answer.status)
        self.send_header("Content-Length", str(len(answer.body) * (2 if answer.cut else 1)))
        self.end_headers()
        self.wfile.write(answer.body)
        self.close_connection = answer.cut

    def log_message(self, *args: Any) -> None:
        """Stay quiet."""


class _Server(ThreadingHTTPServer):
    """Room for every thread of a test to connect at once: a refused connection would be a call more."""

    request_queue_size = 256


@pytest.fixture
def scripted_server() -> Iterator[ScriptedServer]:
    """A running server and its script."""
    script = ScriptedServer()
    handler = type("Handler", (_Handler,), {"script": script})
    server = _Server(("127.0.0.1", 0), handler)
    script.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield script
    server.shutdown()
    thread.join()
    server.server_close()


class Clock:
    """A monotonic clock that only sleeping moves."""

    def __init__(self) -> None:
        self.now = 0.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


@pytest.fixture
def clock() -> Clock:
    """Time at the test's command."""
    return Clock()


@pytest.fixture
def scripted_answer() -> type[ScriptedAnswer]:
    """How a test writes the script."""
    return ScriptedAnswer


@pytest.fixture
def aws_client(scripted_server: ScriptedServer, clock: Clock) -> Any:
    """Open a door to the scripted server: `door(hooks=…, expected_account=…)`."""

    def open_door(**options: Any) -> AwsClient:
        options = {"rate_limiter": RateLimiter(clock=clock, sleep=clock.sleep), "region": "us-east-1", **options}
        return connect(endpoint=scripted_server.url, **options)

    return open_door


class RecordingHook(Hook):
    """Remembers what went through, and raises what it is told to."""

    def __init__(self, before: Exception | None = None, after: Exception | None = None) -> None:
        self.raise_before, self.raise_after = before, after
        self.seen: list[tuple[str, str]] = []

    def before(self, call: Any) -> None:
        self.seen.append(("before", call.name))
        if self.raise_before:
            raise self.raise_before

    def after(self, call: Any, answer: Any) -> None:
        self.seen.append((type(answer).__name__, call.name))
        if self.raise_after:
            raise self.raise_after


@pytest.fixture
def recorder() -> type[RecordingHook]:
    """A hook that remembers."""
    return RecordingHook
