"""Many rows per request, as CSV, binary tensor and JSON, against the kernel alone on the same rows.

The server's whole CPU time per request, HTTP and answer included, over the CPU time of one call of the C API. At one
connection that has the price of sleeping and waking in it, which 64 rows feel; so they are asked at 32 connections, too. Bodies are as a client would send them; CSV and JSON are answered in JSON, the binary form in binary. The kernel's
rows are in its buffer beforehand, and its answer is left in the library's.
"""

from __future__ import annotations

import json
from typing import Any, Final

from benchmarks.serving import environments, moorage
from benchmarks.serving.closed_loop import load
from benchmarks.serving.environments import PLACE
from benchmarks.serving.figures import Spread
from benchmarks.serving.model import Model
from benchmarks.serving.plan import Plan
from benchmarks.serving.processes import SERVER_CORE, UnmeasurableError, run
from benchmarks.serving.servers import running

POINTS: Final = ((64, 1), (64, 32), (10_000, 1))  # rows, connections
_FORMS: Final = {"CSV": moorage.as_csv, "binary": moorage.as_binary, "JSON": moorage.as_json}
_ROUNDS: Final = 3


def measure(model: Model, plan: Plan) -> dict[str, Any]:
    """Give, by point, kernel and parse time, and by form CPU time, latency and ratio to the kernel; times in seconds."""
    points = [{"rows": rows, "connections": count, **_point(model, rows, count, plan)} for rows, count in POINTS]
    return {"points": points}


def _point(model: Model, rows: int, connections: int, plan: Plan) -> dict[str, Any]:
    alone: dict[str, list[float]] = {"kernel": [], "parse": []}
    turns: dict[str, list[Any]] = {form: [] for form in _FORMS}
    for _ in range(min(plan.rounds, _ROUNDS)):
        found = _kernel(model, rows, plan.seconds / 3)
        for name, values in alone.items():
            values.append(found[name])
        for form, server in _FORMS.items():
            with running(server(model, rows)) as up:
                turns[form].append(load(up, connections, plan.seconds))
    forms = {
        form: {
            "cpu": Spread.of([turn.cpu for turn in loads]),
            "p50": Spread.of([turn.p50 for turn in loads]),
            "cpu_ratio": Spread.ratio([turn.cpu for turn in loads], alone["kernel"]),
        }
        for form, loads in turns.items()
    }
    return {**{name: Spread.of(values) for name, values in alone.items()}, "forms": forms}


def _kernel(model: Model, rows: int, seconds: float) -> dict[str, float]:
    body = PLACE / "rows.json"
    body.write_bytes(moorage.as_json(model, rows).body)
    argv = [environments.server(), "-m", "benchmarks.serving.kernel", str(model.file), str(body), str(seconds)]
    found: dict[str, float] = json.loads(run(argv, SERVER_CORE, seconds * 10 + 60))
    if found["first"] != model.expected[0]:
        raise UnmeasurableError(f"the kernel alone predicts {found['first']}, not {model.expected[0]}")
    return found
