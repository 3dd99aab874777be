"""From exec to the first right prediction, against importing the library; and memory, idle and under load.

Both start with warm file caches and compiled modules, on the server's core, in turns; the import in the developers'
environment, where numpy and scipy are. It counts until the program says that it is done, without the interpreter's end.
A client on the other core asks every millisecond. Memory is PSS, which divides pages among the processes that map them
(a Python of the load's shares some), and RSS, which doesn't; the most is what was seen at looks 20 times a second.
"""

from __future__ import annotations

import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from typing import Any

from benchmarks.serving import moorage
from benchmarks.serving.closed_loop import load
from benchmarks.serving.processes import SERVER_CORE, Memory, cpu_seconds, memory_of, sample_memory, start, stop
from benchmarks.serving.run_settings import RunSettings
from benchmarks.serving.served_model import Model
from benchmarks.serving.servers import Running, Server, first_answer, free_port, running
from benchmarks.serving.summary import Spread


def measure(model: Model, settings: RunSettings) -> dict[str, Any]:
    """Give both times and their CPU times in seconds, and memory in MB."""
    ours, imports = [], []
    server = moorage.as_json(model)
    for _ in range(settings.starts + 1):
        ours.append(_first_prediction(server))
        imports.append(_import())
    del ours[0], imports[0]  # they warmed the caches
    walls = [start.wall for start in ours], [start.wall for start in imports]
    cpus = [start.cpu for start in ours], [start.cpu for start in imports]
    with running(moorage.as_json(model)) as process:
        time.sleep(1)
        idle = memory_of(process.pid)
        one_row = _peak_memory(process, 128, settings.seconds)
        after = memory_of(process.pid)
    with running(moorage.as_csv(model, 10_000)) as process:
        many_rows = _peak_memory(process, 4, settings.seconds)
    return {
        "first_prediction": {"wall": Spread.of(walls[0]), "cpu": Spread.of(cpus[0])},
        "import": {"wall": Spread.of(walls[1]), "cpu": Spread.of(cpus[1])},
        "ratio": Spread.ratio(*walls),
        "memory": {
            "idle": asdict(idle),
            "peak at 128 connections": asdict(one_row),
            "afterwards": asdict(after),
            "peak at 4 connections with 10,000 rows of CSV": asdict(many_rows),
        },
    }


def _peak_memory(process: Running, connections: int, seconds: int) -> Memory:
    with sample_memory(process.pid, 0.05) as samples:
        load(process, connections, seconds)
    return Memory(max(sample.pss for sample in samples), max(sample.rss for sample in samples))


@dataclass(frozen=True)
class _StartupTimes:
    """Seconds on the clock and of CPU."""

    wall: float
    cpu: float


def _first_prediction(server: Server) -> _StartupTimes:
    port = free_port()
    started_at = time.perf_counter()
    process = start(server.command(port), SERVER_CORE, output=subprocess.DEVNULL)
    try:
        first_answer(server, port, lambda: process.poll() is None)
        return _StartupTimes(time.perf_counter() - started_at, cpu_seconds(process.pid))
    finally:
        stop(process)


def _import() -> _StartupTimes:
    started_at = time.perf_counter()
    argv = [sys.executable, "-c", "import xgboost; print(flush=True)"]
    process = start(argv, SERVER_CORE, output=subprocess.PIPE)
    assert process.stdout
    process.stdout.read(1)
    times = _StartupTimes(time.perf_counter() - started_at, cpu_seconds(process.pid))
    process.communicate()
    return times
