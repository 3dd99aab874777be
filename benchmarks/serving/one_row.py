"""One row per request: what it costs in CPU time, and how many a second, against the floor.

Ours and the floor take turns, A B A B, each started anew for its turn; a ratio compares the two turns of one round. The
floor reads and answers the same bytes through aiohttp's application, router and request as its users write them; ours is
on the same library's lower layer. What the floor doesn't do: check the input, predict, count metrics.
"""

from __future__ import annotations

from typing import Any, Final

from benchmarks.serving import moorage
from benchmarks.serving.closed_loop import Load, load
from benchmarks.serving.figures import Spread
from benchmarks.serving.model import Model
from benchmarks.serving.plan import Plan
from benchmarks.serving.servers import running

CONNECTIONS: Final = (1, 32, 128)


def measure(model: Model, plan: Plan) -> dict[str, Any]:
    """Give, by number of connections, CPU seconds per request and requests per second of both, and the CPU's ratio."""
    turns: dict[tuple[str, int], list[Load]] = {}
    for _ in range(plan.rounds):
        for server in (moorage.as_json(model), moorage.floor(model)):
            with running(server) as up:
                for connections in CONNECTIONS:
                    turns.setdefault((server.name, connections), []).append(load(up, connections, plan.seconds))
    return {
        str(connections): _point(turns["ours", connections], turns["floor", connections]) for connections in CONNECTIONS
    }


def _point(ours: list[Load], floor: list[Load]) -> dict[str, Any]:
    return {
        "ours": _summary(ours),
        "floor": _summary(floor),
        "cpu_ratio": Spread.ratio([turn.cpu for turn in ours], [turn.cpu for turn in floor]),
    }


def _summary(turns: list[Load]) -> dict[str, Spread]:
    return {name: Spread.of([getattr(turn, name) for turn in turns]) for name in ("cpu", "rate", "p50", "p99")}
