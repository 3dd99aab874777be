"""A server in a thread of the test process, asked through a real socket."""

from __future__ import annotations

import asyncio
import http.client
import json
import socket
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, replace
from typing import Any

import structlog

from inference_server import model as models
from inference_server.engine import Engine
from inference_server.metrics import SharedCounters
from inference_server.options import Options
from inference_server.routes import build_routes
from inference_server.service import Service
from inference_server.transport import Transport

from .model_bundles import Bundle


@dataclass(frozen=True)
class Answer:
    """What a server answered."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)

    @property
    def error(self) -> dict[str, Any]:
        """The error's own object, in the shape that all errors have."""
        error = self.json["error"]
        assert set(error) == {"code", "message", "field", "request_id"}
        assert error["request_id"] == self.headers["x-request-id"]
        return error


class ThreadedServer:
    """A server in a thread of the test process, asked through a real socket.

    `engine` may put another one in its place.
    """

    def __init__(self, bundle: Bundle, engine: Callable[[Engine], Any] = lambda engine: engine, **options: Any) -> None:
        self._engine = engine
        self._options = Options(model_dir=bundle.directory, **options)
        self.log_events: list[dict[str, Any]] = []
        self._started: Future[int] = Future()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()))
        self._thread.start()
        self.port = self._started.result(10)

    async def _run(self) -> None:
        self.loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        log = structlog.wrap_logger(None, processors=[self._capture_log_event])
        model = models.load(self._options.model_dir)
        self.service = Service(replace(model, engine=self._engine(model.engine)), self._options, SharedCounters())
        self.routes = build_routes(self.service)
        transport = Transport(self.service, self.routes, self._options, log, None)
        server = await self.loop.create_server(transport.protocol, "127.0.0.1", 0)
        self._started.set_result(server.sockets[0].getsockname()[1])
        await self._stop.wait()
        server.close()
        await transport.server.shutdown(0.1)
        self.service.close()

    def _capture_log_event(self, _logger: object, _method: str, event: dict[str, Any]) -> Any:
        self.log_events.append(event)
        raise structlog.DropEvent

    def stop(self) -> None:
        """End the server and its thread."""
        self.loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)

    def send(self, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        """Send one request; a body that is no text or bytes goes as JSON. Headers are given with underscores."""
        sent = body if isinstance(body, bytes | str | None) else json.dumps(body)
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request(method, path, sent, {name.replace("_", "-"): value for name, value in headers.items()})
            response = connection.getresponse()
            return Answer(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read())
        finally:
            connection.close()

    def connect(self) -> socket.socket:
        """Open a connection."""
        return socket.create_connection(("127.0.0.1", self.port), 10)

    def send_raw(self, data: bytes) -> bytes:
        """Send bytes as they are and read until the server closes."""
        with self.connect() as connection:
            connection.sendall(data)
            return b"".join(iter(lambda: connection.recv(65536), b""))


class EngineProxy:
    """Stands before an engine: whatever a subclass does not do itself, the engine does."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)
