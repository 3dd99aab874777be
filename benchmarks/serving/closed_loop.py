"""Load from wrk: some connections, each sending the next request when the last is answered.

One thread, the load's core.

Its latencies are those of a closed loop: a slow server is asked less often. `open_loop` is for the other question.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from benchmarks.serving.processes import LOAD_CORE, UnmeasurableError, cpu_seconds, run
from benchmarks.serving.servers import Running

_SCRIPT = Path(__file__).with_name("post.lua")


@dataclass(frozen=True)
class LoadResult:
    """What a point gave.

    `cpu` is the server's CPU time per request, in seconds, as are `p50` and `p99` of the latency.
    """

    rate: float
    cpu: float
    p50: float
    p99: float


def require_wrk() -> None:
    """Make sure that there is wrk: root installs it, others are told how."""
    if shutil.which("wrk"):
        return
    install = ["apt-get", "install", "--yes", "--no-install-recommends", "wrk"]
    if os.geteuid() or not shutil.which("apt-get"):
        raise UnmeasurableError(f"wrk isn't installed; on Debian: sudo {' '.join(install)}")
    subprocess.run(install, check=True, stdout=subprocess.DEVNULL)


def load(running: Running, connections: int, seconds: float) -> LoadResult:
    """Load a server after a warm-up of a fifth of the time. Raise UnmeasurableError if any answer isn't a good one."""
    _wrk(running, connections, max(1, round(seconds / 5)))
    before = cpu_seconds(running.pid)
    found = _wrk(running, connections, max(1, round(seconds)))
    cpu = cpu_seconds(running.pid) - before
    return LoadResult(found["requests"] / found["seconds"], cpu / found["requests"], found["p50"], found["p99"])


def _wrk(running: Running, connections: int, seconds: int) -> dict[str, float]:
    headers = [part for header in running.server.headers.items() for part in header]
    argv = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "30s", "-s", str(_SCRIPT)]
    argv += [f"http://127.0.0.1:{running.port}{running.server.path}", "--", str(running.body_file), *headers]
    text = run(argv, LOAD_CORE, seconds + 60).decode()
    _, marker, result = text.partition("RESULT ")
    if not marker:
        raise UnmeasurableError(f"wrk gave no result: {text}")
    found: dict[str, float] = json.loads(result)
    if found["failed"] or not found["requests"]:
        raise UnmeasurableError(
            f"{running.server.name}, {connections} connections: {found['failed']} of {found['requests']} failed"
        )
    return found
