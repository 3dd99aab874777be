"""Many rows per request, as CSV, binary tensor and JSON, against the kernel alone on the same rows.

The server's whole CPU time per request, HTTP and answer included, over the CPU time of one call of the C API. At one
connection that has the price of sleeping and waking in it, which 64 rows feel; so they are asked at 32 connections,
too. Bodies are as a client would send them; CSV and JSON are answered in JSON, the binary form in binary. The kernel's
rows are in its buffer beforehand, and its answer is left in the library's.
"""

from __future__ import annotations

import json
from typing import Any, Final

from benchmarks.serving import moorage, virtualenvs
from benchmarks.serving.closed_loop import load
from benchmarks.serving.processes import SERVER_CORE, UnmeasurableError, run
from benchmarks.serving.run_settings import RunSettings
from benchmarks.serving.served_model import Model
from benchmarks.serving.servers import running
from benchmarks.serving.summary import Spread
from benchmarks.serving.virtualenvs import WORK_DIR

POINTS: Final = ((64, 1), (64, 32), (10_000, 1))  # rows, connections
_FORMS: Final = {"CSV": moorage.as_csv, "binary": moorage.as_binary, "JSON": moorage.as_json}
_ROUNDS: Final = 3


def measure(model: Model, settings: RunSettings) -> dict[str, Any]:
    """Give, by point, kernel and parse time, and by form CPU time, latency and ratio to the kernel.

    Times in seconds.
    """
    points = [{"rows": rows, "connections": count, **_point(model, rows, count, settings)} for rows, count in POINTS]
    return {"points": points}


def _point(model: Model, rows: int, connections: int, settings: RunSettings) -> dict[str, Any]:
    library_times: dict[str, list[float]] = {"library": [], "parse": []}
    loads: dict[str, list[Any]] = {form: [] for form in _FORMS}
    for _ in range(min(settings.rounds, _ROUNDS)):
        times = _measure_library(model, rows, settings.seconds / 3)
        for name, values in library_times.items():
            values.append(times[name])
        for form, server in _FORMS.items():
            with running(server(model, rows)) as process:
                loads[form].append(load(process, connections, settings.seconds))
    forms = {
        form: {
            "cpu": Spread.of([result.cpu for result in results]),
            "p50": Spread.of([result.p50 for result in results]),
            "cpu_ratio": Spread.ratio([result.cpu for result in results], library_times["library"]),
        }
        for form, results in loads.items()
    }
    return {**{name: Spread.of(values) for name, values in library_times.items()}, "forms": forms}


def _measure_library(model: Model, rows: int, seconds: float) -> dict[str, float]:
    body = WORK_DIR / "rows.json"
    body.write_bytes(moorage.as_json(model, rows).body)
    argv = [
        virtualenvs.server_interpreter(),
        "-m",
        "benchmarks.serving.libxgboost_call",
        str(model.file),
        str(body),
        str(seconds),
    ]
    times: dict[str, float] = json.loads(run(argv, SERVER_CORE, seconds * 10 + 60))
    if times["first"] != model.expected[0]:
        raise UnmeasurableError(f"the kernel alone predicts {times['first']}, not {model.expected[0]}")
    return times
