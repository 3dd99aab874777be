"""The context of one request, on either path: shared by transport, error formats, logs and headers."""

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
    """The context of a request. `start` is when its head was parsed; `route` is None until found."""

    __slots__ = ("_id", "headers", "method", "path", "route", "start")

    def __init__(self, method: str, path: str, headers: Mapping[str, str]) -> None:
        self.method, self.path, self.headers = method, path, headers
        self.route: Route | None = None
        self.start = perf_counter()
        self._id = ""

    @property
    def id(self) -> str:
        """The client's request id if it is valid, else a new one."""
        if not self._id:
            sent = self.headers.get("X-Request-Id", "")
            self._id = sent if _REQUEST_ID(sent) else os.urandom(8).hex()
        return self._id

    @property
    def route_name(self) -> str:
        """The route's name in metrics: never a path from a client."""
        return self.route.name if self.route else NO_ROUTE

    @property
    def route_path(self) -> str:
        """The route's path in the table: never a path from a client."""
        return self.path if self.route else NO_ROUTE

    def log_fields(self) -> dict[str, str]:
        """Return the fields that identify the request in the log: route, request id and trace id."""
        trace = trace_id(self.headers)
        return {"route": self.route_name, "request_id": self.id} | ({"trace_id": trace} if trace else {})
