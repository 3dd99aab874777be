"""Processes under measurement: on which core they run, what CPU time and memory they take, how they are stopped.

A process means it and all its descendants. CPU time is the scheduler's own count, in nanoseconds; on loopback the
kernel does the receiver's part of TCP in the sender's time, so a request's arrival is paid for by the load generator
and an answer's by the server: alike for all servers. A descendant that ended between two looks is not counted.
"""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.serving.virtualenvs import ROOT

SERVER_CORE: Final = 0
LOAD_CORE: Final = 1
_STOP_SECONDS: Final = 20


class UnmeasurableError(Exception):
    """A measurement would have no meaning; the text says why."""


def start(
    argv: Sequence[str],
    core: int,
    *,
    environment: Mapping[str, str] | None = None,
    cwd: Path = ROOT,
    output: int | None,
) -> subprocess.Popen[bytes]:
    """Start a program on one core, in a session of its own. What it says goes to `output` (a descriptor or PIPE)."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})  # inherited
    try:
        return subprocess.Popen(
            argv,
            cwd=cwd,
            env={**os.environ, **(environment or {})},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT if output != subprocess.PIPE else None,
            start_new_session=True,
        )
    finally:
        os.sched_setaffinity(0, before)


def run(argv: Sequence[str], core: int, seconds: float) -> bytes:
    """Run a program on one core, and give its stdout. Raise UnmeasurableError if it fails or takes longer than that."""
    process = start(argv, core, output=subprocess.PIPE)
    try:
        output = process.communicate(timeout=seconds)[0]
    except subprocess.TimeoutExpired:
        raise UnmeasurableError(f"{argv[0]} takes longer than {seconds:.0f} s") from None
    finally:
        process.kill()
        process.wait()
    if process.returncode:
        raise UnmeasurableError(f"{' '.join(argv)} failed: {output[-500:]!r}")
    return output


def stop(process: subprocess.Popen[bytes]) -> None:
    """Ask a program to end, and end it and its descendants if it doesn't."""
    descendants = tree(process.pid)
    process.terminate()
    with suppress(subprocess.TimeoutExpired):
        process.wait(_STOP_SECONDS)
    for pid in descendants:
        # Its session tells a descendant that is left from a stranger that was given the same pid.
        with suppress(ProcessLookupError, FileNotFoundError):
            if os.getsid(pid) == process.pid:
                os.kill(pid, signal.SIGKILL)
    process.wait()


def tree(pid: int) -> list[int]:
    """Give a process and its descendants."""
    found, waiting = [], [pid]
    while waiting:
        each = waiting.pop()
        found.append(each)
        for task in Path(f"/proc/{each}/task").glob("*/children"):
            with suppress(OSError):  # ended meanwhile
                waiting += map(int, task.read_text().split())
    return found


def cpu_seconds(pid: int) -> float:
    """Give the CPU time of a process and its living descendants so far, all threads, user and system."""
    total = 0.0
    for each in tree(pid):
        with suppress(OSError):
            total += time.clock_gettime((~each << 3) | 2)  # clock_getcpuclockid(3) makes a clock of a pid like this
    return total


@dataclass(frozen=True)
class Memory:
    """In MB of 10⁶ bytes. `pss` divides a shared page among those who map it; `rss` counts it in full."""

    pss: float
    rss: float


def memory_of(pid: int) -> Memory:
    """Give the memory of a process and its descendants."""
    sums = {"Pss:": 0, "Rss:": 0}
    for each in tree(pid):
        with suppress(OSError):
            for line in Path(f"/proc/{each}/smaps_rollup").read_text().splitlines():
                name, _, rest = line.partition(" ")
                if name in sums:
                    sums[name] += int(rest.split()[0]) * 1024
    return Memory(sums["Pss:"] / 1e6, sums["Rss:"] / 1e6)


@contextmanager
def sample_memory(pid: int, interval: float) -> Iterator[list[Memory]]:
    """Look at a process's memory again and again while the block runs."""
    samples: list[Memory] = []
    done = threading.Event()

    def sample_repeatedly() -> None:
        while not done.wait(interval):
            samples.append(memory_of(pid))

    sampler = threading.Thread(target=sample_repeatedly)
    sampler.start()
    try:
        yield samples
    finally:
        done.set()
        sampler.join()
