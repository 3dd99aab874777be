"""HTTP: requests to calls, replies to responses. Routes, limits and errors; nothing of models.

It is aiohttp's low-level server, with a plain table for a router: no route here has a pattern, and a prediction costs
little more than its HTTP, so a framework's own layers would be felt. How a connection works is `connection.py`'s.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from time import perf_counter
from typing import Final

from aiohttp import StreamReader, web
from aiohttp.http import RawRequestMessage
from aiohttp.http_exceptions import HttpProcessingError, LineTooLong
from structlog.typing import FilteringBoundLogger

from inference_server.bodies import Bodies, Body
from inference_server.connection import Connection, Write
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
from inference_server.exchange import NO_ROUTE, Exchange
from inference_server.log import traced
from inference_server.messages import Call, Reply
from inference_server.options import Options
from inference_server.routes import Ask, Route, Routes, refusal
from inference_server.service import LARGE, Service
from inference_server.tracing import Spans

_SERVER: Final = "moorage"  # instead of aiohttp's banner with versions


class Transport:
    """Carries one service's routes. `protocol` makes the protocol of a new connection."""

    def __init__(
        self, service: Service, routes: Routes, options: Options, log: FilteringBoundLogger, spans: Spans | None
    ) -> None:
        self._service, self._routes, self._options, self.log = service, routes, options, log
        self._spans, self._tells = spans, options.log_level == "debug"
        self._loop, self._bodies = asyncio.get_running_loop(), Bodies(options)
        self._short = min(options.max_body, LARGE)
        names = dict.fromkeys(route.name for methods in routes.values() for route in methods.values())
        service.metrics.expect([*names, NO_ROUTE], STATUSES)
        self.server = web.Server(self._serve)

    def protocol(self) -> web.RequestHandler:
        """Make a connection's protocol."""
        return Connection(self, self.server, self._loop, self._options)

    def short_way(
        self, message: RawRequestMessage, payload: StreamReader, late: bool
    ) -> Callable[[Write], None] | None:
        """Give what begins on a request that is here as a whole, None if it has to take the long way."""
        exchange = Exchange(message.method, message.url.path, message.headers)
        route = exchange.route = self._routes.get(exchange.path, {}).get(message.method)
        if route is None or route.ask is None or payload.total_bytes > self._short or self._service.draining:
            return None
        return partial(self._ask, exchange, route.ask, payload, late)

    def _ask(self, exchange: Exchange, ask: Ask, payload: StreamReader, late: bool, write: Write) -> None:
        def tell(outcome: Reply | Exception) -> None:
            reply = self._refused(exchange, outcome) if isinstance(outcome, Exception) else outcome
            write(reply.status, self._done(exchange, reply), reply.body)

        try:
            ask(Call(payload.read_nowait(), exchange.headers, late), tell)
        except Exception as error:  # noqa: BLE001 - `_refused` tells them apart
            tell(error)

    async def _serve(self, request: web.BaseRequest) -> web.Response:
        exchange = Exchange(request.method, request.path, request.headers)
        try:
            exchange.route = self._find(exchange)
            reply = await self._answer(request, exchange.route)
        except Exception as error:  # noqa: BLE001 - `_refused` tells them apart
            reply = self._refused(exchange, error)
        response = web.Response(body=reply.body, status=reply.status, headers=self._done(exchange, reply))
        if self._service.draining or reply.status in {408, 413}:
            response.force_close()
        return response

    def unparsed(self, request: web.BaseRequest, error: BaseException | None) -> web.Response:
        """Answer what is no HTTP, or not within the limits of a head."""
        exchange = Exchange(request.method, request.path, request.headers)
        reply = self._refused(exchange, _unreadable(error))
        response = web.Response(body=reply.body, status=reply.status, headers=self._done(exchange, reply))
        response.force_close()
        return response

    def _find(self, exchange: Exchange) -> Route:
        methods = self._routes.get(exchange.path)
        if methods is None:
            raise NotFoundError(f"nothing is at this path; there are: {', '.join(self._routes)}")
        route = methods.get("GET" if exchange.method == "HEAD" else exchange.method)
        if route is None:
            raise MethodError(methods)
        return route

    async def _answer(self, request: web.BaseRequest, route: Route) -> Reply:
        body = Body(self._bodies)
        try:
            return await route.handle(Call(await body.read(request), request.headers))
        finally:
            body.close()

    def _refused(self, exchange: Exchange, error: Exception) -> Reply:
        """Phrase a refusal in the route's words, with the headers that belong to its status; log what is our fault."""
        if not isinstance(error, RequestError):
            self.log.error("request failed", **exchange.named(), **traced(error))
            error = InternalError("the server failed; its log says why")
        self._service.metrics.rejected(error.code)
        phrase = exchange.route.refuse if exchange.route else refusal(exchange.path)
        reply = phrase(error, exchange.id)
        if isinstance(error, MethodError):
            return replace(reply, headers={"Allow": error.allowed})
        if isinstance(error, OverloadedError):
            return replace(reply, headers={"Retry-After": str(error.retry_after)})
        return reply

    def _done(self, exchange: Exchange, reply: Reply) -> Mapping[str, str]:
        """Count an answer, tell of it where that is asked for, and give its headers."""
        seconds = perf_counter() - exchange.start
        self._service.metrics.answered(exchange.name, reply.status, seconds)
        if self._tells:
            self.log.debug("request", status=reply.status, milliseconds=round(seconds * 1000, 3), **exchange.named())
        if self._spans is not None:
            self._spans.record(exchange.method, exchange.template, exchange.headers, reply.status, seconds)
        headers = {"Content-Type": reply.media_type, "Server": _SERVER, **reply.headers}
        if reply.status >= 400 or "X-Request-Id" in exchange.headers:
            headers["X-Request-Id"] = exchange.id
        return headers


def _unreadable(error: BaseException | None) -> Exception:
    """Say what was wrong with what aiohttp could not parse, without a byte of it."""
    if isinstance(error, LineTooLong):
        return HeaderTooLargeError("the request line or a header is too long")
    if isinstance(error, HttpProcessingError):
        return MalformedError("the request is not HTTP that this server understands")
    return error if isinstance(error, Exception) else InternalError("the server failed")
