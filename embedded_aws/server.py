"""The HTTP server: one aiohttp application that takes every AWS API call and dispatches it to strict handlers and moto.

Calls run in threads, one at a time under the emulator's lock. The program's own pages are under `/_moorage/`: `health`,
`calls` (how often each operation was called), `faults`, `rates` and `weather` (see those modules) and `reset`. Strict
modules add the routes of data planes. Only one service is known here: SQS, whose long polls must not hold the lock.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
from collections import Counter
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any, TypeVar

from aiohttp import web
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app

from embedded_aws.api_call import ApiCall, ApiError, ApiResponse, identify_operation
from embedded_aws.emulator import Emulator
from embedded_aws.errors import SettingError
from embedded_aws.fault_injection import Fault, FaultSchedule, build_fault_response, build_throttling_response
from embedded_aws.request_rates import RequestRates

T = TypeVar("T")

_log = logging.getLogger(__name__)
_BODY_LIMIT = 1 << 30
_POLL = 0.05
_HOSTS = frozenset({"127.0.0.1", "localhost"})
# Suffixes of virtual-hosted buckets, host prefixes (`data-127.0.0.1`) and API names.
_LOCAL_NAMES = (".127.0.0.1", "-127.0.0.1", ".localhost", "-localhost")


class ApiServer:
    """Answers the AWS API calls of one emulator."""

    def __init__(self, emulator: Emulator) -> None:
        self.emulator = emulator
        self.faults = FaultSchedule()
        self.rates = RequestRates()
        self.rates.enforce("throttle" in emulator.weather.kinds)
        self.calls: Counter[str] = Counter()
        self._moto = MotoApplication(create_backend_app)
        self._threads = ThreadPoolExecutor(16, thread_name_prefix="call")

    def build_application(self) -> web.Application:
        """Return the aiohttp application with every route."""
        app = web.Application(client_max_size=_BODY_LIMIT, middlewares=[_loopback_only])
        app.add_routes(self.emulator.routes)
        app.cleanup_ctx.extend(self.emulator.contexts)
        for method, path, handler in (
            ("GET", "/_moorage/health", self._serve_health),
            ("*", "/_moorage/calls", self._serve_calls),
            ("*", "/_moorage/faults", self._serve_faults),
            ("*", "/_moorage/rates", self._serve_rates),
            ("*", "/_moorage/weather", self._serve_weather),
            ("POST", "/_moorage/reset", self._serve_reset),
            ("*", "/{tail:.*}", self._handle_api_call),
        ):
            app.router.add_route(method, path, handler)
        return app

    async def _handle_api_call(self, request: web.Request) -> web.StreamResponse:
        call = ApiCall(
            method=request.method,
            target=request.raw_path,
            headers=list(request.headers.items()),
            body=await request.read(),
            account=self.emulator.account,
            region=self.emulator.region,
            host=request.host,
            send_to_moto=self._call_moto,
        )
        # The first call to a service loads its model. On the event loop, that would delay the data planes noticeably.
        await self._run_in_thread(identify_operation, call)
        self.calls[call.name] += 1
        fault = self.faults.next_fault(call.name)
        if fault and fault.kind == "slow":
            await asyncio.sleep(fault.seconds)
        answer = await self._respond(call, fault)
        if fault and fault.kind == "lost" and request.transport is not None:
            request.transport.abort()
        return web.Response(status=answer.status, headers=_response_headers(answer), body=answer.body)

    async def _respond(self, call: ApiCall, fault: Fault | None) -> ApiResponse:
        if not self.rates.try_acquire(call):
            return build_throttling_response(call)
        injected = self._injected_response(call, fault) if fault else None
        if injected is not None:
            return injected
        answer = await (
            self._long_poll(call) if call.name == "sqs.ReceiveMessage" else self._run_in_thread(self._dispatch, call)
        )
        self.faults.record_response(call, answer)
        return self.emulator.weather.apply_read_lag(call, answer)

    def _injected_response(self, call: ApiCall, fault: Fault) -> ApiResponse | None:
        return self.faults.recorded_response(call) if fault.kind == "stale" else build_fault_response(fault, call)

    async def _run_in_thread(self, work: Callable[[ApiCall], T], call: ApiCall) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work, call)

    def _dispatch(self, call: ApiCall) -> ApiResponse:
        handler = self.emulator.handlers.get((call.service, call.operation))
        with self.emulator.lock:
            try:
                result = handler(call) if handler else call.forward_to_moto()
                return result if isinstance(result, ApiResponse) else call.build_response(result)
            except ApiError as error:
                return error.response or call.build_error(error.code, error.message, error.status)
            except Exception:  # noqa: BLE001
                # A defect here must look like a failure of AWS, and leave its trace in the log.
                _log.exception("%s failed", call.name)
                return call.build_error(
                    "InternalFailure", f"{call.name} failed inside the embedded AWS: see its log", 500
                )

    def _call_moto(self, call: ApiCall) -> ApiResponse:
        """Run moto's WSGI application. Operations that moto lacks answer 501 in the service's own error format."""
        started: list[Any] = []
        try:
            chunks = self._moto(
                call.build_wsgi_environ(), lambda status, headers, _=None: started.extend((status, headers))
            )
            body = b"".join(chunks)
        except NotImplementedError:
            return _not_implemented(call)
        if body.startswith(b"<!doctype html>"):
            # This is Flask's own 404: moto has no such path.
            return _not_implemented(call)
        headers = {name.lower(): value for name, value in started[1]}
        return ApiResponse(int(started[0].split()[0]), headers, body)

    async def _long_poll(self, call: ApiCall) -> ApiResponse:
        """Poll repeatedly instead of waiting inside moto, so that a waiting consumer never holds the lock."""
        params = json.loads(call.body)
        wait_seconds = float(params.get("WaitTimeSeconds", 0))
        call.body = json.dumps(params | {"WaitTimeSeconds": 0}).encode()
        deadline = asyncio.get_running_loop().time() + wait_seconds
        while True:
            answer = await self._run_in_thread(self._dispatch, call)
            expired = asyncio.get_running_loop().time() >= deadline
            if expired or answer.status != 200 or json.loads(answer.body).get("Messages"):
                return answer
            await asyncio.sleep(_POLL)

    async def _serve_health(self, _: web.Request) -> web.Response:
        return web.json_response(
            {
                "pid": os.getpid(),
                "endpoint": self.emulator.endpoint,
                "home": str(self.emulator.home),
                "account": self.emulator.account,
            }
        )

    async def _serve_calls(self, request: web.Request) -> web.Response:
        if request.method == "DELETE":
            self.calls.clear()
        return web.json_response({"total": self.calls.total(), "calls": dict(sorted(self.calls.items()))})

    async def _serve_faults(self, request: web.Request) -> web.Response:
        if request.method == "DELETE":
            self.faults.clear()
        if request.method == "POST":
            try:
                self.faults.schedule(await request.json())
            except (TypeError, ValueError) as error:
                return web.json_response({"error": str(error)}, status=400)
        return web.json_response(self.faults.pending())

    async def _serve_rates(self, request: web.Request) -> web.Response:
        if request.method == "PUT":
            self.rates.enforce((await request.json())["enforced"] is True)
        return web.json_response(self.rates.report())

    async def _serve_weather(self, request: web.Request) -> web.Response:
        if request.method == "DELETE":
            self._change_weather(self.emulator.weather.reset)
        if request.method == "PUT":
            wanted = await request.json()
            try:
                self._change_weather(
                    lambda: self.emulator.weather.change(wanted["kinds"], wanted.get("iamDelay"), wanted.get("readLag"))
                )
            except (KeyError, TypeError, SettingError) as error:
                return web.json_response({"error": str(error)}, status=400)
        return web.json_response(self.emulator.weather.report())

    def _change_weather(self, change: Callable[[], None]) -> None:
        """Change the weather, and enforce request rates accordingly."""
        change()
        self.rates.enforce("throttle" in self.emulator.weather.kinds)

    async def _serve_reset(self, _: web.Request) -> web.Response:
        await asyncio.to_thread(self.emulator.reset)
        self.faults.clear()
        self._change_weather(self.emulator.weather.reset)
        self.calls.clear()
        return web.json_response({})


def _not_implemented(call: ApiCall) -> ApiResponse:
    """Return the error for an operation that doesn't exist here, in the service's own format."""
    return call.build_error("NotImplemented", f"The embedded AWS doesn't have {call.name}", 501)


def _response_headers(answer: ApiResponse) -> dict[str, str]:
    """Return the headers without those that aiohttp writes itself."""
    return {
        name: value for name, value in answer.headers.items() if name not in {"connection", "transfer-encoding", "date"}
    }


@web.middleware
async def _loopback_only(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Refuse web pages: a host name that was rebound to 127.0.0.1, and a page elsewhere that posts here.

    Data planes serve browsers too, under any name; they apply their own CORS rules.
    """
    if request.path.startswith("/_aws/"):
        return await handler(request)
    host = request.host.rpartition(":")[0] or request.host
    if host not in _HOSTS and not host.endswith(_LOCAL_NAMES):
        raise web.HTTPForbidden(text=f"the embedded AWS answers on loopback names only, not {host}\n")
    if "Origin" in request.headers:
        raise web.HTTPForbidden(text="the embedded AWS doesn't answer web pages\n")
    return await handler(request)


class MotoApplication(DomainDispatcherApplication):  # type: ignore[misc]  # moto has no types
    """moto's WSGI application, with API Gateway v2 found by its path: both versions of API Gateway share a host.

    moto's own way to version 2 imports version 1, and with it OpenAPI packages that nothing here needs. moto also lists
    its own directory with every call to map a host name to a service; here it does so once.
    """

    def __init__(self, create_app: Callable[[str], Any]) -> None:
        super().__init__(create_app)
        self.get_backend_for_host = cache(super().get_backend_for_host)

    def get_application(self, environ: dict[str, Any]) -> Any:
        """Return the Flask application of the request's service."""
        if not environ["PATH_INFO"].startswith("/v2/") or "/apigateway/aws4_request" not in environ.get(
            "HTTP_AUTHORIZATION", ""
        ):
            return super().get_application(environ)
        if "apigatewayv2" not in self.app_instances:
            self.app_instances["apigatewayv2"] = self.create_app("apigatewayv2")
        return self.app_instances["apigatewayv2"]


async def run_server(
    emulator: Emulator, port: int, on_ready: Callable[[str], Awaitable[None]], stop: asyncio.Event
) -> None:
    """Serve on 127.0.0.1 until `stop` is set. Await `on_ready(endpoint)` as soon as the server accepts connections.

    Raises OSError when the port is taken.
    """
    # Bodies stay as sent: an object stored with Content-Encoding must come back unchanged.
    runner = web.AppRunner(ApiServer(emulator).build_application(), auto_decompress=False, access_log=None)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", port, shutdown_timeout=1)
        await site.start()
        emulator.endpoint = f"http://127.0.0.1:{runner.addresses[0][1]}"
        await on_ready(emulator.endpoint)
        await stop.wait()
    finally:
        await asyncio.to_thread(emulator.stop)
        await runner.cleanup()
