"""The server's lifecycle from the first socket to the exit code: listen, serve, drain on SIGTERM, exit.

On a signal, `/readyz` turns false and every response closes its connection. During the drain delay the server still
accepts new connections, because load balancers and name servers need time to route elsewhere. Then the listener closes,
requests in progress finish, and the process exits with 0.
"""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import suppress
from time import monotonic, time

from structlog.typing import FilteringBoundLogger

from inference_server import listener as listeners
from inference_server.emf import EmfFormatter
from inference_server.log import StdoutWriter
from inference_server.metrics import SharedCounters
from inference_server.model import Model
from inference_server.options import Options
from inference_server.routes import build_routes
from inference_server.service import Service
from inference_server.tracing import create_span_recorder
from inference_server.transport import Transport

_HANDSHAKE_SECONDS = 0.1  # for connections in their handshake: one round trip
_IDLE_GRACE_SECONDS = 1.0  # for idle connections to start one more request


async def serve(model: Model, options: Options, log: FilteringBoundLogger, counters: SharedCounters) -> None:
    """Serve until a signal. Raise OSError if the address can't be bound, StartupError for an unusable option."""
    loop = asyncio.get_running_loop()
    stop, skip_delay = asyncio.Event(), asyncio.Event()

    def on_signal() -> None:
        (skip_delay if stop.is_set() else stop).set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal)
    service = Service(model, options, counters)
    span_recorder = create_span_recorder(os.environ, model.manifest, log)
    transport = Transport(service, build_routes(service), options, log, span_recorder)
    listener = listeners.listen(options.host, options.port, options.workers > 1, options.write_timeout)
    tcp_server = await loop.create_server(transport.protocol, sock=listener, backlog=listeners.BACKLOG)
    emf_task = loop.create_task(_log_emf(service, options, counters))
    log.info("started", address=listeners.address(listener), **_identity(model))

    await stop.wait()
    service.drain()
    log.info("draining", seconds=options.drain_delay)
    with suppress(TimeoutError):
        await asyncio.wait_for(skip_delay.wait(), options.drain_delay)
    listeners.drop_new_connections(listener)
    await asyncio.sleep(_HANDSHAKE_SECONDS)
    tcp_server.close()
    await _wait_for_connections(transport, min(_IDLE_GRACE_SECONDS, options.stop_timeout))
    transport.server.pre_shutdown()
    await transport.server.shutdown(options.stop_timeout)
    emf_task.cancel()
    service.close()
    if span_recorder is not None:
        await loop.run_in_executor(None, span_recorder.close)
    log.info("stopped")


async def _log_emf(service: Service, options: Options, counters: SharedCounters) -> None:
    """Log metrics for CloudWatch if enabled, and once more at the end. One worker logs for all."""
    if not options.emf_interval or counters.worker:
        return
    formatter = EmfFormatter(service.model.manifest.name)
    try:
        while True:
            await asyncio.sleep(options.emf_interval)
            StdoutWriter().write(b"".join(formatter.format_changes(service.metrics.collect_all(), int(time() * 1000))))
    finally:
        StdoutWriter().write(b"".join(formatter.format_changes(service.metrics.collect_all(), int(time() * 1000))))


async def _wait_for_connections(transport: Transport, seconds: float) -> None:
    deadline = monotonic() + seconds
    while transport.server.connections and monotonic() < deadline:  # noqa: ASYNC110 - aiohttp has no event for it
        await asyncio.sleep(0.02)


def _identity(model: Model) -> dict[str, object]:
    return {"model": model.manifest.name, "version": model.manifest.version, "sha256": model.manifest.model.sha256}
