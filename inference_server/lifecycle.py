"""From the first socket to the exit code: listen, serve, drain on SIGTERM, end.

What a signal starts: `/readyz` turns false and every answer closes its connection, while new connections are still
taken for the drain delay, since load balancers and name servers need a while to look elsewhere. Then the listener goes;
requests under way finish; the process ends with 0.
"""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import suppress
from time import monotonic, time

from structlog.typing import FilteringBoundLogger

from inference_server import listening
from inference_server.emf import Lines
from inference_server.log import Out
from inference_server.metrics import Board
from inference_server.model import Model
from inference_server.options import Options
from inference_server.routes import table
from inference_server.service import Service
from inference_server.tracing import spans
from inference_server.transport import Transport

_HANDSHAKE = 0.1  # seconds for those who have begun to connect: a round trip
_LAST_WORDS = 1.0  # seconds in which a connection that is open, and idle, may still begin a request


async def serve(model: Model, options: Options, log: FilteringBoundLogger, board: Board) -> None:
    """Serve until a signal. Raise OSError if the address can't be had, StartError if an option can't."""
    loop = asyncio.get_running_loop()
    stop, hurry = asyncio.Event(), asyncio.Event()

    def on_signal() -> None:
        (hurry if stop.is_set() else stop).set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal)
    service = Service(model, options, board)
    traces = spans(os.environ, model.manifest, log)
    transport = Transport(service, table(service), options, log, traces)
    listener = listening.listen(options.host, options.port, options.workers > 1, options.write_timeout)
    acceptor = await loop.create_server(transport.protocol, sock=listener, backlog=listening.BACKLOG)
    telling = loop.create_task(_tell(service, options, board))
    log.info("started", address=listening.address(listener), **_identity(model))

    await stop.wait()
    service.drain()
    log.info("draining", seconds=options.drain_delay)
    with suppress(TimeoutError):
        await asyncio.wait_for(hurry.wait(), options.drain_delay)
    listening.turn_away(listener)
    await asyncio.sleep(_HANDSHAKE)
    acceptor.close()
    await _until_gone(transport, min(_LAST_WORDS, options.stop_timeout))
    transport.server.pre_shutdown()
    await transport.server.shutdown(options.stop_timeout)
    telling.cancel()
    service.close()
    if traces is not None:
        await loop.run_in_executor(None, traces.close)
    log.info("stopped")


async def _tell(service: Service, options: Options, board: Board) -> None:
    """Log metrics for CloudWatch if asked for; one worker does so for all, and once more at the end."""
    if not options.emf_interval or board.worker:
        return
    lines = Lines(service.model.manifest.name)
    try:
        while True:
            await asyncio.sleep(options.emf_interval)
            Out().write(b"".join(lines.next(service.metrics.all(), int(time() * 1000))))
    finally:
        Out().write(b"".join(lines.next(service.metrics.all(), int(time() * 1000))))


async def _until_gone(transport: Transport, seconds: float) -> None:
    deadline = monotonic() + seconds
    while transport.server.connections and monotonic() < deadline:  # noqa: ASYNC110 - aiohttp tells nobody
        await asyncio.sleep(0.02)


def _identity(model: Model) -> dict[str, object]:
    return {"model": model.manifest.name, "version": model.manifest.version, "sha256": model.manifest.model.sha256}
