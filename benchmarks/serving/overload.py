"""Twice as many requests as can be answered, on schedule for a minute: who is answered, how quickly, in what memory.

Capacity is what wrk gets at 128 connections just before. Unloaded is a tenth of it, by the same generator (`open_loop`)
and so with its own delays in it. Goodput is right answers per second of the overload. If the generator was late, its figures
are the generator's and not the server's: `kept` says whether 99 of 100 requests went out within 5 ms of their time.
"""

from __future__ import annotations

import json
import sys
from typing import Any, Final

from benchmarks.serving import moorage
from benchmarks.serving.closed_loop import load
from benchmarks.serving.environments import PLACE
from benchmarks.serving.model import Model
from benchmarks.serving.plan import Plan
from benchmarks.serving.processes import LOAD_CORE, run, watched
from benchmarks.serving.servers import Running, running

CONNECTIONS: Final = 512  # twice what the server lets wait: with fewer than that it would never have to refuse
_TIMES: Final = 2.0
_KEPT_SECONDS: Final = 0.005


def measure(model: Model, plan: Plan) -> dict[str, Any]:
    """Give capacity, what the generator saw unloaded and overloaded, the goodput, and memory in MB once a second."""
    with running(moorage.as_json(model)) as up:
        capacity = load(up, 128, plan.seconds).rate
        unloaded = _generate(up, capacity / 10, plan.seconds)
        with watched(up.pid, 1.0) as seen:
            overloaded = _generate(up, capacity * _TIMES, plan.overload)
    goodput = sum(overloaded["good_by_second"]) / plan.overload
    return {
        "capacity": capacity,
        "times": _TIMES,
        "seconds": plan.overload,
        "unloaded": unloaded,
        "overloaded": overloaded,
        "p99_ratio": overloaded["accepted_p99"] / unloaded["accepted_p99"] if overloaded["accepted"] else None,
        "goodput": goodput,
        "goodput_share": goodput / capacity,
        "kept": overloaded["late_p99"] <= _KEPT_SECONDS,
        "pss_by_second": [round(look.pss, 1) for look in seen],
    }


def _generate(up: Running, rate: float, seconds: int) -> dict[str, Any]:
    answer = PLACE / "answer"
    answer.write_bytes(up.answer)
    settings = {
        "port": up.port,
        "path": up.server.path,
        "headers": dict(up.server.headers),
        "body": str(up.body_file),
        "answer": str(answer),
        "connections": CONNECTIONS,
        "rate": rate,
        "seconds": seconds,
    }
    argv = [sys.executable, "-m", "benchmarks.serving.open_loop", json.dumps(settings)]
    found: dict[str, Any] = json.loads(run(argv, LOAD_CORE, seconds + 60))
    return found
