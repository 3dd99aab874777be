"""Throughput of one row per request at 32 connections: ours against each peer.

Everyone takes turns, started anew for each; a ratio compares two turns of one round. Each is asked in its own form for
the same row. Not measured: several rows per request, the peers' own batching, several processes.
"""

from __future__ import annotations

from typing import Any, Final

from benchmarks.serving import moorage
from benchmarks.serving.closed_loop import Load, load
from benchmarks.serving.figures import Spread
from benchmarks.serving.model import Model
from benchmarks.serving.plan import Plan
from benchmarks.serving.processes import memory
from benchmarks.serving.servers import running

_CONNECTIONS: Final = 32
_ROUNDS: Final = 3  # the peers' figures differ by factors


def measure(model: Model, plan: Plan) -> dict[str, Any]:
    """Give, by server, requests per second, latencies, CPU seconds per request, memory, and ours as a multiple of it."""
    servers = [moorage.as_json(model), *(peer(model) for peer in plan.peers)]
    turns: dict[str, list[Load]] = {server.name: [] for server in servers}
    memories: dict[str, list[float]] = {server.name: [] for server in servers}
    for _ in range(min(plan.rounds, _ROUNDS)):
        for server in servers:
            with running(server) as up:
                turns[server.name].append(load(up, _CONNECTIONS, plan.seconds))
                memories[server.name].append(memory(up.pid).pss)
    ours = [turn.rate for turn in turns["ours"]]
    return {name: _point(ours, found, memories[name]) for name, found in turns.items()}


def _point(ours: list[float], turns: list[Load], memories: list[float]) -> dict[str, Spread]:
    return {
        "rate": Spread.of([turn.rate for turn in turns]),
        "p99": Spread.of([turn.p99 for turn in turns]),
        "cpu": Spread.of([turn.cpu for turn in turns]),
        "pss": Spread.of(memories),
        "times": Spread.ratio(ours, [turn.rate for turn in turns]),
    }
