"""From exec to the first right prediction, against importing the library; and memory, idle and under load.

Both start with warm file caches and compiled modules, on the server's core, in turns; the import in the developers'
environment, where numpy and scipy are. It counts until the program says that it is done, without the interpreter's end. A client on the other core asks every millisecond. Memory is
PSS, which divides pages among the processes that map them (a Python of the load's shares some), and RSS, which doesn't;
the most is what was seen at looks 20 times a second.
"""

from __future__ import annotations

import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from typing import Any

from benchmarks.serving import moorage
from benchmarks.serving.closed_loop import load
from benchmarks.serving.figures import Spread
from benchmarks.serving.model import Model
from benchmarks.serving.plan import Plan
from benchmarks.serving.processes import SERVER_CORE, Memory, cpu_seconds, memory, start, stop, watched
from benchmarks.serving.servers import Running, Server, first_answer, free_port, running


def measure(model: Model, plan: Plan) -> dict[str, Any]:
    """Give both times and their CPU times in seconds, and memory in MB."""
    ours, theirs = [], []
    server = moorage.as_json(model)
    for _ in range(plan.starts + 1):
        ours.append(_first_prediction(server))
        theirs.append(_import())
    del ours[0], theirs[0]  # they warmed the caches
    walls = [start.wall for start in ours], [start.wall for start in theirs]
    cpus = [start.cpu for start in ours], [start.cpu for start in theirs]
    with running(moorage.as_json(model)) as up:
        time.sleep(1)
        idle = memory(up.pid)
        one_row = _most(up, 128, plan.seconds)
        after = memory(up.pid)
    with running(moorage.as_csv(model, 10_000)) as up:
        many_rows = _most(up, 4, plan.seconds)
    return {
        "first_prediction": {"wall": Spread.of(walls[0]), "cpu": Spread.of(cpus[0])},
        "import": {"wall": Spread.of(walls[1]), "cpu": Spread.of(cpus[1])},
        "ratio": Spread.ratio(*walls),
        "memory": {
            "idle": asdict(idle),
            "most at 128 connections": asdict(one_row),
            "after it": asdict(after),
            "most at 4 connections with 10,000 rows of CSV": asdict(many_rows),
        },
    }


def _most(up: Running, connections: int, seconds: int) -> Memory:
    with watched(up.pid, 0.05) as seen:
        load(up, connections, seconds)
    return Memory(max(look.pss for look in seen), max(look.rss for look in seen))


@dataclass(frozen=True)
class _Start:
    """Seconds on the clock and of CPU."""

    wall: float
    cpu: float


def _first_prediction(server: Server) -> _Start:
    port = free_port()
    begin = time.perf_counter()
    process = start(server.command(port), SERVER_CORE, output=subprocess.DEVNULL)
    try:
        first_answer(server, port, lambda: process.poll() is None)
        return _Start(time.perf_counter() - begin, cpu_seconds(process.pid))
    finally:
        stop(process)


def _import() -> _Start:
    begin = time.perf_counter()
    argv = [sys.executable, "-c", "import xgboost; print(flush=True)"]
    process = start(argv, SERVER_CORE, output=subprocess.PIPE)
    assert process.stdout
    process.stdout.read(1)
    found = _Start(time.perf_counter() - begin, cpu_seconds(process.pid))
    process.communicate()
    return found
