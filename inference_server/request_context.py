"""One request on its way to its answer, whichever way it takes: what transport, refusals, logs and headers need of it."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from time import perf_counter
from typing import Final

from inference_server.routes import Route
from inference_server.tracing import trace_id

_REQUEST_ID: Final = re.compile(r"[A-Za-z0-9._:/+=-]{1,128}").fullmatch
NO_ROUTE: Final = "none"


class RequestContext:
    """What a request asks for. `start` is when its head was there; `route` is None until one is found."""

    __slots__ = ("_id", "headers", "method", "path", "route", "start")

    def __init__(self, method: str, path: str, headers: Mapping[str, str]) -> None:
        self.method, self.path, self.headers = method, path, headers
        self.route: Route | None = None
        self.start = perf_counter()
        self._id = ""

    @property
    def id(self) -> str:
        """The client's own request id if it is a decent one, else this request's new one."""
        if not self._id:
            sent = self.headers.get("X-Request-Id", "")
            self._id = sent if _REQUEST_ID(sent) else os.urandom(8).hex()
        return self._id

    @property
    def route_name(self) -> str:
        """The name under which it is counted: never a path that a client made up."""
        return self.route.name if self.route else NO_ROUTE

    @property
    def route_path(self) -> str:
        """The path in the table of routes, likewise."""
        return self.path if self.route else NO_ROUTE

    def log_fields(self) -> dict[str, str]:
        """Say which request it is, for the log: its route, its id, and the trace that it is part of."""
        trace = trace_id(self.headers)
        return {"route": self.route_name, "request_id": self.id} | ({"trace_id": trace} if trace else {})
