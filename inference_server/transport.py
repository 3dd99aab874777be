"""HTTP: aiohttp requests to calls, replies to responses. Routes, limits and errors; nothing of models.

It is aiohttp's low-level server, with a plain table for a router: no route here has a pattern, and a prediction costs
little more than its HTTP, so a framework's own layers would be felt.
"""

from __future__ import annotations

import asyncio
import os
import re
from dataclasses import replace
from time import perf_counter
from typing import Final

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError, LineTooLong
from structlog.typing import FilteringBoundLogger

from inference_server.bodies import Bodies, Body
from inference_server.errors import (
    STATUSES,
    HeaderTooLargeError,
    InternalError,
    MalformedError,
    MethodError,
    NotFoundError,
    OverloadedError,
    RequestError,
)
from inference_server.log import traced
from inference_server.messages import Call, Reply
from inference_server.options import Options
from inference_server.routes import Route, Routes, refusal, refuse
from inference_server.service import Service
from inference_server.tracing import Spans, trace_id

_SERVER: Final = "moorage"  # instead of aiohttp's banner with versions
_REQUEST_ID: Final = re.compile(r"[A-Za-z0-9._:/+=-]{1,128}").fullmatch
_NO_ROUTE: Final = "none"
_ID: Final = web.RequestKey("id", str)


class Transport:
    """Carries one service's routes. `protocol` makes the protocol of a new connection."""

    def __init__(
        self, service: Service, routes: Routes, options: Options, log: FilteringBoundLogger, spans: Spans | None
    ) -> None:
        self._spans, self._tells = spans, options.log_level == "debug"
        self._service, self._routes, self._options, self.log = service, routes, options, log
        self._loop, self._bodies = asyncio.get_running_loop(), Bodies(options)
        names = dict.fromkeys(route.name for methods in routes.values() for route in methods.values())
        service.metrics.expect([*names, _NO_ROUTE], STATUSES)
        self.server = web.Server(self._serve)

    def protocol(self) -> web.RequestHandler:
        """Make a connection's protocol."""
        return _Connection(self, self.server, self._loop, self._options)

    def refused(self, request: web.BaseRequest, error: RequestError) -> web.Response:
        """Refuse what never became a request with a route."""
        self._service.metrics.answered(_NO_ROUTE, error.status, 0)
        self._service.metrics.rejected(error.code)
        response = self._response(request, refuse(error, request_id(request)))
        response.force_close()
        return response

    async def _serve(self, request: web.BaseRequest) -> web.Response:
        start = perf_counter()
        metrics = self._service.metrics
        route = None
        try:
            route = self._find(request)
            reply = await self._answer(request, route)
        except RequestError as error:
            metrics.rejected(error.code)
            reply = _refused(request, route, error)
        except Exception as error:  # noqa: BLE001 - the client hears of it, the operator where it was
            name = route.name if route else _NO_ROUTE
            self.log.error("request failed", route=name, **_named(request), **traced(error))  # noqa: TRY400
            failure = InternalError("the server failed; its log says why")
            metrics.rejected(failure.code)
            reply = _refused(request, route, failure)
        seconds = perf_counter() - start
        metrics.answered(route.name if route else _NO_ROUTE, reply.status, seconds)
        if self._tells or self._spans is not None:
            self._tell(request, route, reply.status, seconds)
        return self._response(request, reply)

    def _tell(self, request: web.BaseRequest, route: Route | None, status: int, seconds: float) -> None:
        """Log an answered request, and make its span, where that is asked for."""
        name, milliseconds = route.name if route else _NO_ROUTE, round(seconds * 1000, 3)
        self.log.debug("request", route=name, status=status, milliseconds=milliseconds, **_named(request))
        if self._spans is not None:
            path = request.path if route else _NO_ROUTE
            self._spans.record(request.method, path, request.headers, status, seconds)

    def _find(self, request: web.BaseRequest) -> Route:
        methods = self._routes.get(request.path)
        if methods is None:
            raise NotFoundError(f"nothing is at this path; there are: {', '.join(self._routes)}")
        route = methods.get("GET" if request.method == "HEAD" else request.method)
        if route is None:
            raise MethodError(methods)
        return route

    async def _answer(self, request: web.BaseRequest, route: Route) -> Reply:
        body = Body(self._bodies)
        try:
            return await route.handle(Call(await body.read(request), request.headers))
        finally:
            body.close()

    def _response(self, request: web.BaseRequest, reply: Reply) -> web.Response:
        headers = {"Content-Type": reply.media_type, "Server": _SERVER, **reply.headers}
        if reply.status >= 400 or "X-Request-Id" in request.headers:
            headers["X-Request-Id"] = request_id(request)
        response = web.Response(body=reply.body, status=reply.status, headers=headers)
        if self._service.draining or reply.status in {408, 413}:
            response.force_close()
        return response


class _Connection(web.RequestHandler):
    """aiohttp's connection, but what it can't parse is refused in our shape, and not one byte of it is logged."""

    __slots__ = ("_carrier", "_head_timeout", "_late")

    def __init__(
        self, carrier: Transport, server: web.Server, loop: asyncio.AbstractEventLoop, options: Options
    ) -> None:
        super().__init__(
            server,
            loop=loop,
            keepalive_timeout=options.keepalive,
            lingering_time=1.0,
            access_log=None,  # type: ignore[arg-type]  # documented as: no access log
        )
        self._carrier, self._head_timeout = carrier, options.head_timeout
        self._late: asyncio.TimerHandle | None = None

    def data_received(self, data: bytes) -> None:
        """Take bytes in. A head that has begun must end within its time, for which aiohttp has no limit."""
        super().data_received(data)
        begun = self._waiter is not None and not self._waiter.done()  # all is read, and it waits for a request still
        if begun != bool(self._late):
            self._time_head(begun)

    def _time_head(self, begun: bool) -> None:
        if self._late:
            self._late.cancel()
        self._late = self._loop.call_later(self._head_timeout, self.force_close) if begun else None

    def handle_error(
        self, request: web.BaseRequest, status: int = 500, exc: BaseException | None = None, message: str | None = None
    ) -> web.StreamResponse:
        """Answer what is no HTTP, or not within the limits of a head."""
        del status, message  # they quote the client
        error: RequestError = MalformedError("the request is not HTTP that this server understands")
        if isinstance(exc, LineTooLong):
            error = HeaderTooLargeError("the request line or a header is too long")
        elif not isinstance(exc, HttpProcessingError):
            self.log_exception("answering failed", exc_info=exc)
            error = InternalError("the server failed; its log says why")
        return self._carrier.refused(request, error)


def _refused(request: web.BaseRequest, route: Route | None, error: RequestError) -> Reply:
    """Phrase a refusal in the route's words, with the headers that belong to its status."""
    phrase = route.refuse if route else refusal(request.path)
    reply = phrase(error, request_id(request))
    if isinstance(error, MethodError):
        return replace(reply, headers={"Allow": error.allowed})
    if isinstance(error, OverloadedError):
        return replace(reply, headers={"Retry-After": str(error.retry_after)})
    return reply


def _named(request: web.BaseRequest) -> dict[str, str]:
    """Say which request it is, for the log: its id, and the trace that it is part of."""
    trace = trace_id(request.headers)
    return {"request_id": request_id(request)} | ({"trace_id": trace} if trace else {})


def request_id(request: web.BaseRequest) -> str:
    """Give the client's own request id if it is a decent one, else this request's new one."""
    known = request.get(_ID)
    if known is None:
        sent = request.headers.get("X-Request-Id", "")
        known = request[_ID] = sent if _REQUEST_ID(sent) else os.urandom(8).hex()
    return known
