"""The loop's HTTP endpoints: `/healthz`, `/readyz`, `/metrics`, and the push webhook. None changes any state."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from aiohttp import web

from controller.engine.metrics import Metrics
from controller.engine.webhook import MAX_BODY_BYTES, DeliveryResult, Webhook
from controller.errors import UsageError


class HttpEndpoints:
    """The endpoints of one loop.

    `liveness_problem` and `readiness_problem` return why the loop is unhealthy or not ready; empty if it is fine.
    `on_push` triggers a read of the source.
    """

    def __init__(
        self,
        metrics: Metrics,
        webhook: Webhook | None,
        *,
        liveness_problem: Callable[[], str],
        readiness_problem: Callable[[], str],
        on_push: Callable[[], None],
    ) -> None:
        self._metrics, self._webhook = metrics, webhook
        self._liveness_problem, self._readiness_problem, self._on_push = liveness_problem, readiness_problem, on_push

    def application(self) -> web.Application:
        """Return the aiohttp application with all routes."""
        application = web.Application(client_max_size=MAX_BODY_BYTES)
        application.router.add_get("/healthz", self._health)
        application.router.add_get("/readyz", self._ready)
        application.router.add_get("/metrics", self._metrics_page)
        if self._webhook is not None:
            application.router.add_post("/hooks/push", self._push)
        return application

    async def _health(self, _: web.Request) -> web.Response:
        return _health_response(self._liveness_problem())

    async def _ready(self, _: web.Request) -> web.Response:
        return _health_response(self._liveness_problem() or self._readiness_problem())

    async def _metrics_page(self, _: web.Request) -> web.Response:
        return web.Response(body=self._metrics.exposition(), headers={"content-type": "text/plain; version=0.0.4"})

    async def _push(self, request: web.Request) -> web.Response:
        body = await request.read()
        signature = request.headers.get("X-Hub-Signature-256", "")
        verdict = self._webhook.check_delivery(body, signature) if self._webhook else DeliveryResult.FORGED
        self._metrics.hints.labels("webhook", verdict.name.lower()).inc()
        if verdict is DeliveryResult.ACCEPTED:
            self._on_push()
        return web.Response(status=verdict.value, text=f"{verdict.name.lower()}\n")


@asynccontextmanager
async def serve(application: web.Application, host: str, port: int) -> AsyncIterator[str]:
    """Serve inside the context, and yield the address. Raises UsageError if the process can't listen on it."""
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    try:
        opened = web.TCPSite(runner, host, port)
        try:
            await opened.start()
        except OSError as error:
            raise UsageError(f"can't listen on {host}:{port}", why=error.strerror or "", hint="--listen") from error
        bound = runner.addresses[0]
        yield f"http://{bound[0]}:{bound[1]}"
    finally:
        await runner.cleanup()


def _health_response(problem: str) -> web.Response:
    return web.Response(status=503 if problem else 200, text=f"{problem or 'ok'}\n")
