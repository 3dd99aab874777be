"""HTTP transport: converts requests and responses, applies routes, limits and errors. Knows nothing of models.

It uses aiohttp's low-level server with a plain table as its router: no route has a pattern, and a prediction costs
little more than its HTTP, so a framework's layers would be noticeable. `connection.py` implements the connections.
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

from inference_server.connection import Connection, WriteResponse
from inference_server.errors import (
    STATUSES,
    HeaderTooLargeError,
    InternalError,
    MalformedError,
    MethodNotAllowedError,
    NotFoundError,
    OverloadedError,
    RequestError,
)
from inference_server.http_messages import HttpRequest, HttpResponse
from inference_server.log import describe_error
from inference_server.options import Options
from inference_server.request_body import BodyMemory, RequestBody
from inference_server.request_context import NO_ROUTE, RequestContext
from inference_server.routes import FastHandler, Route, Routes, error_formatter_for
from inference_server.service import LARGE_BODY, Service
from inference_server.tracing import SpanRecorder

_SERVER: Final = "moorage"  # instead of aiohttp's banner with versions


class Transport:
    """Serves the routes of one service. `protocol` creates the protocol of a new connection."""

    def __init__(
        self, service: Service, routes: Routes, options: Options, log: FilteringBoundLogger, spans: SpanRecorder | None
    ) -> None:
        self._service, self._routes, self._options, self.log = service, routes, options, log
        self._spans, self._logs_requests = spans, options.log_level == "debug"
        self._loop, self._body_memory = asyncio.get_running_loop(), BodyMemory(options)
        self._fast_path_limit = min(options.max_body, LARGE_BODY)
        names = dict.fromkeys(route.name for methods in routes.values() for route in methods.values())
        service.metrics.register_routes([*names, NO_ROUTE], STATUSES)
        self.server = web.Server(self._serve)

    def protocol(self) -> web.RequestHandler:
        """Create the protocol of a connection."""
        return Connection(self, self.server, self._loop, self._options)

    def fast_path(
        self, message: RawRequestMessage, payload: StreamReader, delayed: bool
    ) -> Callable[[WriteResponse], None] | None:
        """Return a function that starts a complete request, None if it must take the regular path."""
        context = RequestContext(message.method, message.url.path, message.headers)
        route = context.route = self._routes.get(context.path, {}).get(message.method)
        if (
            route is None
            or route.handle_fast is None
            or payload.total_bytes > self._fast_path_limit
            or self._service.draining
        ):
            return None
        return partial(self._start_on_fast_path, context, route.handle_fast, payload, delayed)

    def _start_on_fast_path(
        self,
        context: RequestContext,
        handler: FastHandler,
        payload: StreamReader,
        delayed: bool,
        write_response: WriteResponse,
    ) -> None:
        def on_response(outcome: HttpResponse | Exception) -> None:
            response = self._error_response(context, outcome) if isinstance(outcome, Exception) else outcome
            write_response(response.status, self._finish(context, response), response.body)

        try:
            handler(HttpRequest(payload.read_nowait(), context.headers, delayed), on_response)
        except Exception as error:  # noqa: BLE001 - `_error_response` distinguishes them
            on_response(error)

    async def _serve(self, request: web.BaseRequest) -> web.Response:
        context = RequestContext(request.method, request.path, request.headers)
        try:
            context.route = self._find_route(context)
            response = await self._handle_request(request, context.route)
        except Exception as error:  # noqa: BLE001 - `_error_response` distinguishes them
            response = self._error_response(context, error)
        result = self._to_aiohttp(context, response)
        if self._service.draining or response.status in {408, 413}:
            result.force_close()
        return result

    def handle_parse_error(self, request: web.BaseRequest, error: BaseException | None) -> web.Response:
        """Answer a request that isn't valid HTTP or whose head exceeds a limit."""
        context = RequestContext(request.method, request.path, request.headers)
        response = self._error_response(context, _parse_error(error))
        result = self._to_aiohttp(context, response)
        result.force_close()
        return result

    def _to_aiohttp(self, context: RequestContext, response: HttpResponse) -> web.Response:
        return web.Response(body=response.body, status=response.status, headers=self._finish(context, response))

    def _find_route(self, context: RequestContext) -> Route:
        methods = self._routes.get(context.path)
        if methods is None:
            raise NotFoundError(f"no route at this path; available paths: {', '.join(self._routes)}")
        route = methods.get("GET" if context.method == "HEAD" else context.method)
        if route is None:
            raise MethodNotAllowedError(methods)
        return route

    async def _handle_request(self, request: web.BaseRequest, route: Route) -> HttpResponse:
        body = RequestBody(self._body_memory)
        try:
            return await route.handle(HttpRequest(await body.read(request), request.headers))
        finally:
            body.close()

    def _error_response(self, context: RequestContext, error: Exception) -> HttpResponse:
        """Format an error in the route's form, with the headers of its status; log the server's own failures."""
        if not isinstance(error, RequestError):
            self.log.error("request failed", **context.log_fields(), **describe_error(error))
            error = InternalError("internal server error; see the server's log")
        self._service.metrics.count_rejection(error.code)
        format_error = context.route.format_error if context.route else error_formatter_for(context.path)
        response = format_error(error, context.id)
        if isinstance(error, MethodNotAllowedError):
            return replace(response, headers={"Allow": error.allowed})
        if isinstance(error, OverloadedError):
            return replace(response, headers={"Retry-After": str(error.retry_after)})
        return response

    def _finish(self, context: RequestContext, response: HttpResponse) -> Mapping[str, str]:
        """Count a response, log and trace it if enabled, and return its headers."""
        seconds = perf_counter() - context.start
        self._service.metrics.count_response(context.route_name, response.status, seconds)
        if self._logs_requests:
            self.log.debug(
                "request", status=response.status, milliseconds=round(seconds * 1000, 3), **context.log_fields()
            )
        if self._spans is not None:
            self._spans.record(context.method, context.route_path, context.headers, response.status, seconds)
        headers = {"Content-Type": response.media_type, "Server": _SERVER, **response.headers}
        if response.status >= 400 or "X-Request-Id" in context.headers:
            headers["X-Request-Id"] = context.id
        return headers


def _parse_error(error: BaseException | None) -> Exception:
    """Describe a request that aiohttp could not parse, without quoting it."""
    if isinstance(error, LineTooLong):
        return HeaderTooLargeError("the request line or a header is too long")
    if isinstance(error, HttpProcessingError):
        return MalformedError("the request is not valid HTTP")
    return error if isinstance(error, Exception) else InternalError("internal server error")
