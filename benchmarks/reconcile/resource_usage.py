"""What a process has used so far, as Linux tells it: CPU time and memory."""

from __future__ import annotations

import os
import resource
from pathlib import Path


def cpu_of(pid: int) -> float:
    """CPU seconds of another process, its children left out."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def own_cpu() -> tuple[float, float]:
    """CPU seconds of this process, and of the children that it has waited for."""
    mine, children = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return mine.ru_utime + mine.ru_stime, children.ru_utime + children.ru_stime


def peak_megabytes() -> float:
    """The most resident memory that this process has had, shared pages counted in full."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6
