"""One row per request: what it costs in CPU time, and how many a second, against the floor.

Ours and the floor take turns, A B A B, each started anew for its turn; a ratio compares the two turns of one round. The
floor reads and answers the same bytes through aiohttp's application, router and request as its users write them; ours
is on the same library's lower layer. What the floor doesn't do: check the input, predict, count metrics.
"""

from __future__ import annotations

from typing import Any, Final

from benchmarks.serving import moorage
from benchmarks.serving.closed_loop import LoadResult, load
from benchmarks.serving.run_settings import RunSettings
from benchmarks.serving.served_model import Model
from benchmarks.serving.servers import running
from benchmarks.serving.summary import Spread

CONNECTIONS: Final = (1, 32, 128)


def measure(model: Model, settings: RunSettings) -> dict[str, Any]:
    """Give, by number of connections, CPU seconds per request and requests per second of both, and the CPU's ratio."""
    loads: dict[tuple[str, int], list[LoadResult]] = {}
    for _ in range(settings.rounds):
        for server in (moorage.as_json(model), moorage.floor(model)):
            with running(server) as process:
                for connections in CONNECTIONS:
                    loads.setdefault((server.name, connections), []).append(
                        load(process, connections, settings.seconds)
                    )
    return {
        str(connections): _point(loads["ours", connections], loads["floor", connections]) for connections in CONNECTIONS
    }


def _point(ours: list[LoadResult], floor: list[LoadResult]) -> dict[str, Any]:
    return {
        "ours": _summary(ours),
        "floor": _summary(floor),
        "cpu_ratio": Spread.ratio([result.cpu for result in ours], [result.cpu for result in floor]),
    }


def _summary(loads: list[LoadResult]) -> dict[str, Spread]:
    return {name: Spread.of([getattr(result, name) for result in loads]) for name in ("cpu", "rate", "p50", "p99")}
