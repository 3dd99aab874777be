"""One request to an HTTP API: stage, preflight, route, throttle, request mapping, instance, response mapping, answer.

Every refusal is API Gateway's own `{"message": …}`. The data plane answers no AWS API calls.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass

from aiohttp import web
from multidict import CIMultiDict, MultiDict

from embedded_aws.gateway import cors, parameter_mapping, route_selection
from embedded_aws.gateway.forwarding import (
    PAYLOAD_LIMIT,
    DiscoverInstances,
    Forwarder,
    InstanceResponse,
    NoInstanceError,
    OutboundRequest,
)
from embedded_aws.gateway.parameter_mapping import MappedRequest, MappingContext
from embedded_aws.gateway.published import PrivateIntegration, PublishedApi, PublishedRoute, PublishedStage
from embedded_aws.gateway.route_throttle import RouteThrottle

PREFIX = "/_aws/execute-api"

# Hop-by-hop headers hold for one connection only (RFC 9110, 7.6.1).
_HOP_BY_HOP = frozenset(
    {
        "connection",
        "expect",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "trailers",
        "transfer-encoding",
        "upgrade",
    }
)


class GatewayError(Exception):
    """An error that API Gateway itself returns: HTTP `status` and `message`."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status, self.message = status, message


@dataclass(frozen=True)
class _StageRequest:
    """A request inside one stage. `path` is percent-encoded and without the stage."""

    client_request: web.Request
    api: PublishedApi
    stage: PublishedStage
    path: str
    id: str


class HttpApiDataPlane:
    """The data plane. Any thread may publish APIs; the event loop answers requests.

    `discover(region, service, attributes)` lists the healthy instances of a Cloud Map service. `link_ready(region,
    link)` returns whether a VPC link carries traffic. The event loop calls both, so neither may block.
    """

    def __init__(
        self,
        discover: DiscoverInstances,
        is_link_available: Callable[[str, str], bool],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._discover, self._is_link_available = discover, is_link_available
        self._apis: Mapping[str, PublishedApi] = {}
        self._throttle = RouteThrottle(clock)
        self._forwarder: Forwarder | None = None

    def publish(self, api: PublishedApi) -> None:
        """Serve this version of `api` from now on."""
        self._apis = {**self._apis, api.id: api}

    def withdraw(self, api_id: str) -> None:
        """Stop serving the API."""
        self._apis = {key: api for key, api in self._apis.items() if key != api_id}

    def clear(self) -> None:
        """Stop serving every API."""
        self._apis = {}

    async def keep_connections(self, _: web.Application) -> AsyncIterator[None]:
        """Keep the HTTP client open while the application runs (aiohttp's `cleanup_ctx`)."""
        self._forwarder = Forwarder()
        yield
        await self._forwarder.close()

    async def handle_request(self, request: web.Request) -> web.StreamResponse:
        """Answer one request."""
        request_id = secrets.token_urlsafe(11) + "="
        try:
            return await self._respond(self._resolve_stage(request, request_id))
        except GatewayError as error:
            body = {"message": error.message}
            return web.json_response(body, status=error.status, headers={"apigw-requestid": request_id})

    def _resolve_stage(self, request: web.Request, request_id: str) -> _StageRequest:
        """Find the API and the stage.

        Source: "Create routes for HTTP APIs". A request that names a stage goes to that stage, any other to `$default`.
        Without a `$default` stage the answer is Not Found.
        """
        api = self._apis.get(request.match_info["api_id"])
        if api is None:
            raise GatewayError(404, "Not Found")
        path = request.rel_url.raw_path.removeprefix(f"{PREFIX}/{api.id}") or "/"
        first, slash, rest = path[1:].partition("/")
        if first != route_selection.DEFAULT_ROUTE and first in api.stages:
            return _StageRequest(request, api, api.stages[first], slash + rest or "/", request_id)
        if route_selection.DEFAULT_ROUTE not in api.stages:
            raise GatewayError(404, "Not Found")
        return _StageRequest(request, api, api.stages[route_selection.DEFAULT_ROUTE], path, request_id)

    async def _respond(self, stage_request: _StageRequest) -> web.Response:
        request, snapshot = stage_request.client_request, stage_request.stage.snapshot
        origin = request.headers.get("Origin")
        if snapshot.cors and origin and cors.is_preflight(request.method, request.headers):
            return web.Response(status=204, headers=cors.build_preflight_headers(snapshot.cors, origin))
        match = route_selection.select_route(
            (route.key for route in snapshot.routes.values()), request.method, stage_request.path
        )
        if match is None:
            raise GatewayError(404, "Not Found")
        reply = await self._call_integration(stage_request, snapshot.routes[match.key], match)
        if snapshot.cors:
            cors.replace_headers(snapshot.cors, origin, reply.headers)
        return web.Response(status=reply.status, headers=reply.headers, body=reply.body)

    async def _call_integration(
        self, request: _StageRequest, route: PublishedRoute, match: route_selection.RouteMatch
    ) -> InstanceResponse:
        self._check_access(request, route)
        integration = route.integration
        if integration is None:
            raise GatewayError(500, "Internal Server Error")
        body = await _read_body(request.client_request)
        context = _mapping_context(request, match)
        headers = _forwarded_headers(request)
        full_path = (
            request.path
            if request.stage.name == route_selection.DEFAULT_ROUTE
            else f"/{request.stage.name}{request.path}"
        )
        mapped = parameter_mapping.map_request(
            integration.request_parameters, MappedRequest(full_path, headers, context.query), context
        )
        reply = await self._forward(request, integration, mapped, body)
        changes = integration.response_parameters.get(str(reply.status), {})
        headers_returned = _without_hop_by_hop(reply.headers)
        if request.client_request.method == "HEAD" and "Content-Length" in reply.headers:
            headers_returned["Content-Length"] = reply.headers["Content-Length"]
        response_context = MappingContext(
            response_headers=headers_returned, context=context.context, stage_variables=context.stage_variables
        )
        status, headers = parameter_mapping.map_response(changes, reply.status, response_context)
        headers["apigw-requestid"] = request.id
        return InstanceResponse(status, headers, reply.body)

    def _check_access(self, request: _StageRequest, route: PublishedRoute) -> None:
        stage = request.stage
        limit = stage.limits.get(route.key.text, stage.default_limit)
        if not self._throttle.try_acquire((request.api.id, stage.name, route.key.text), limit):
            raise GatewayError(429, "Too Many Requests")
        if not route.is_open:
            raise GatewayError(403, "Forbidden")

    async def _forward(
        self, request: _StageRequest, integration: PrivateIntegration, mapped: MappedRequest, body: bytes
    ) -> InstanceResponse:
        """Forward the request over the VPC link.

        Sources: "Set up VPC links V2": requests fail while a link has no network interfaces. AWS re:Post, "HTTP 504
        timeout errors with API Gateway": 504 for an integration that exceeds its timeout, 503 without a reachable
        target.
        """
        region = request.api.region
        instances = self._discover(region, integration.service, integration.attributes)
        if self._forwarder is None or not instances or not self._is_link_available(region, integration.link):
            raise GatewayError(503, "Service Unavailable")
        method = request.client_request.method if integration.method == "ANY" else integration.method
        query = _query_string(request, mapped)
        target = mapped.path + (f"?{query}" if query else "")
        outbound = OutboundRequest(method, target, mapped.headers, body)
        try:
            reply = await self._forwarder.send(integration.service, instances, outbound, integration.timeout)
        except NoInstanceError as error:
            raise GatewayError(503, "Service Unavailable") from error
        except TimeoutError as error:
            raise GatewayError(504, "Endpoint request timed out") from error
        if len(reply.body) > PAYLOAD_LIMIT:
            raise GatewayError(500, "Internal Server Error")
        return reply


async def _read_body(request: web.Request) -> bytes:
    """Read the whole body. API Gateway buffers it, up to 10 MB (quotas of HTTP APIs)."""
    if (request.content_length or 0) > PAYLOAD_LIMIT:
        raise GatewayError(413, "Request Entity Too Large")
    body = bytearray()
    async for chunk in request.content.iter_any():
        body += chunk
        if len(body) > PAYLOAD_LIMIT:
            raise GatewayError(413, "Request Entity Too Large")
    return bytes(body)


def _mapping_context(stage_request: _StageRequest, match: route_selection.RouteMatch) -> MappingContext:
    request = stage_request.client_request
    context = {
        "apiId": stage_request.api.id,
        "httpMethod": request.method,
        "identity.sourceIp": request.remote or "",
        "path": stage_request.path,
        "protocol": "HTTP/1.1",
        "requestId": stage_request.id,
        "routeKey": match.key,
        "stage": stage_request.stage.name,
    }
    return MappingContext(
        path=stage_request.path,
        variables=match.variables,
        headers=CIMultiDict(request.headers),
        query=MultiDict(request.rel_url.query),
        context=context,
        stage_variables=stage_request.stage.variables,
    )


def _query_string(stage_request: _StageRequest, mapped: MappedRequest) -> str:
    """Return the query string as the client wrote it, unless a mapping changed it."""
    url = stage_request.client_request.rel_url
    return (
        url.raw_query_string if mapped.query == MultiDict(url.query) else url.with_query(mapped.query).raw_query_string
    )


def _without_hop_by_hop(headers: Mapping[str, str]) -> CIMultiDict[str]:
    """Drop the hop-by-hop headers, those that Connection names, and Content-Length, which is computed anew."""
    named = {token.strip().lower() for token in headers.get("Connection", "").split(",")}
    dropped = _HOP_BY_HOP | named | {"content-length"}
    return CIMultiDict((name, value) for name, value in headers.items() if name.lower() not in dropped)


def _forwarded_headers(stage_request: _StageRequest) -> CIMultiDict[str]:
    """Return the headers for the instance: the client's own, plus the forwarding headers that identify the client."""
    request = stage_request.client_request
    headers = _without_hop_by_hop(request.headers)
    client, scheme = request.remote or "unknown", request.scheme
    _append_header(headers, "Forwarded", f"by=127.0.0.1;for={client};host={request.host};proto={scheme}")
    _append_header(headers, "X-Forwarded-For", client)
    headers["X-Forwarded-Proto"] = scheme
    _append_header(headers, "Via", "HTTP/1.1 AmazonAPIGateway")
    headers.setdefault("X-Amzn-Trace-Id", f"Root=1-{int(time.time()):08x}-{secrets.token_hex(12)}")
    return headers


def _append_header(headers: CIMultiDict[str], name: str, value: str) -> None:
    earlier = headers.popall(name, [])
    headers[name] = ", ".join([*earlier, value])
