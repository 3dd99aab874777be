"""Twice as many requests as can be answered, on schedule for a minute: who is answered, how quickly, in what memory.

Capacity is what wrk gets at 128 connections just before. Unloaded is a tenth of it, by the same generator (`open_loop`)
and so with its own delays in it. Goodput is right answers per second of the overload. If the generator was late, its
figures are the generator's and not the server's: `kept` says whether 99 of 100 requests went out within 5 ms of their
time.
"""

from __future__ import annotations

import json
import sys
from typing import Any, Final

from benchmarks.serving import moorage
from benchmarks.serving.closed_loop import load
from benchmarks.serving.processes import LOAD_CORE, run, sample_memory
from benchmarks.serving.run_settings import RunSettings
from benchmarks.serving.served_model import Model
from benchmarks.serving.servers import Running, running
from benchmarks.serving.virtualenvs import WORK_DIR

CONNECTIONS: Final = 512  # twice what the server lets wait: with fewer than that it would never have to refuse
_LOAD_FACTOR: Final = 2.0
_MAX_SEND_DELAY: Final = 0.005


def measure(model: Model, settings: RunSettings) -> dict[str, Any]:
    """Give capacity, what the generator saw unloaded and overloaded, the goodput, and memory in MB once a second."""
    with running(moorage.as_json(model)) as process:
        capacity = load(process, 128, settings.seconds).rate
        unloaded = _generate(process, capacity / 10, settings.seconds)
        with sample_memory(process.pid, 1.0) as samples:
            overloaded = _generate(process, capacity * _LOAD_FACTOR, settings.overload)
    goodput = sum(overloaded["successes_by_second"]) / settings.overload
    return {
        "capacity": capacity,
        "times": _LOAD_FACTOR,
        "seconds": settings.overload,
        "unloaded": unloaded,
        "overloaded": overloaded,
        "p99_ratio": overloaded["accepted_p99"] / unloaded["accepted_p99"] if overloaded["accepted"] else None,
        "goodput": goodput,
        "goodput_share": goodput / capacity,
        "on_schedule": overloaded["send_delay_p99"] <= _MAX_SEND_DELAY,
        "pss_by_second": [round(sample.pss, 1) for sample in samples],
    }


def _generate(process: Running, rate: float, seconds: int) -> dict[str, Any]:
    answer = WORK_DIR / "answer"
    answer.write_bytes(process.answer)
    settings = {
        "port": process.port,
        "path": process.server.path,
        "headers": dict(process.server.headers),
        "body": str(process.body_file),
        "answer": str(answer),
        "connections": CONNECTIONS,
        "rate": rate,
        "seconds": seconds,
    }
    argv = [sys.executable, "-m", "benchmarks.serving.open_loop", json.dumps(settings)]
    result: dict[str, Any] = json.loads(run(argv, LOAD_CORE, seconds + 60))
    return result
