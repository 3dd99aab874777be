"""Throughput of one row per request at 32 connections: ours against each peer.

Everyone takes turns, started anew for each; a ratio compares two turns of one round. Each is asked in its own form for
the same row. Not measured: several rows per request, the peers' own batching, several processes.
"""

from __future__ import annotations

from typing import Any, Final

from benchmarks.serving import moorage
from benchmarks.serving.closed_loop import LoadResult, load
from benchmarks.serving.processes import memory_of
from benchmarks.serving.run_settings import RunSettings
from benchmarks.serving.served_model import Model
from benchmarks.serving.servers import running
from benchmarks.serving.summary import Spread

_CONNECTIONS: Final = 32
_ROUNDS: Final = 3  # the peers' figures differ by factors


def measure(model: Model, settings: RunSettings) -> dict[str, Any]:
    """Give, by server, requests per second, latencies, CPU seconds per request, memory, and ours as a
    multiple of it.
    """
    servers = [moorage.as_json(model), *(peer(model) for peer in settings.peers)]
    loads: dict[str, list[LoadResult]] = {server.name: [] for server in servers}
    memories: dict[str, list[float]] = {server.name: [] for server in servers}
    for _ in range(min(settings.rounds, _ROUNDS)):
        for server in servers:
            with running(server) as process:
                loads[server.name].append(load(process, _CONNECTIONS, settings.seconds))
                memories[server.name].append(memory_of(process.pid).pss)
    ours = [result.rate for result in loads["ours"]]
    return {name: _point(ours, found, memories[name]) for name, found in loads.items()}


def _point(ours: list[float], loads: list[LoadResult], memories: list[float]) -> dict[str, Spread]:
    return {
        "rate": Spread.of([result.rate for result in loads]),
        "p99": Spread.of([result.p99 for result in loads]),
        "cpu": Spread.of([result.cpu for result in loads]),
        "pss": Spread.of(memories),
        "times": Spread.ratio(ours, [result.rate for result in loads]),
    }
