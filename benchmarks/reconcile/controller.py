"""`python -m benchmarks.reconcile.controller HOME SPECS TURNS`: the controller, measured from within.

It is put together as `moorage reconcile --once --local` is, from spec files to store, on an embedded AWS that runs
already. One thing differs: AWS's rates are counted, not kept to, since waiting for them would be all that is measured.
Prints one JSON object for each turn: reading the specs and reconciling until nothing is under way.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from collections import Counter
from dataclasses import asdict, dataclass
from itertools import count
from pathlib import Path
from typing import Final

from benchmarks.reconcile.resource_usage import own_cpu, peak_megabytes
from benchmarks.reconcile.write_counter import WriteCounter
from controller.aws.calls import AwsCall, Hook
from controller.aws.rate_limits import RateLimiter, minimum_seconds
from controller.engine.run_once import RunOptions, run_once
from controller.engine.run_result import exit_code
from controller.environments.cancellation import CancellationToken
from controller.environments.factory import EnvironmentFactory
from controller.sources.source import DirectorySource, read_now

_TIMEOUT_SECONDS: Final = 7200.0
# What is under way in AWS for minutes takes the embedded AWS moments.
_PACE: Final = 0.02


@dataclass(frozen=True)
class RunMeasurement:
    """What one turn took. `cpu` is the controller's own, `measuring` that of the children in which models are measured.

    `rates` is how many seconds AWS's rates would take for the calls; `peak` (MB) is of the process so far. `objects` is
    how many AWS objects were written, `repeated` how often each of those that were written more than once.
    """

    reads: dict[str, int]
    writes: dict[str, int]
    objects: int
    repeated: dict[str, int]
    steps: dict[str, int]
    cpu: float
    measuring: float
    seconds: float
    rates: float
    peak: float
    exit_code: int


class CallCounter(Hook):
    """Counts calls by their names."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.counts: dict[str, Counter[str]] = {"read": Counter(), "write": Counter()}

    def before(self, call: AwsCall) -> None:
        """Count one."""
        with self._lock:
            self.counts[call.kind][call.name] += 1

    def take(self) -> tuple[Counter[str], Counter[str]]:
        """What was counted since the last time: reads, writes."""
        with self._lock:
            counts, self.counts = self.counts, {"read": Counter(), "write": Counter()}
        return counts["read"], counts["write"]


def main(home: Path, specs: Path, runs: int) -> None:
    """Reconcile so many times in a row, as one process would."""
    call_counter, write_counter = CallCounter(), WriteCounter()
    # Ever full: each look at its clock is long after the one before.
    rate_limiter = RateLimiter(clock=count(step=10**6).__next__)
    with EnvironmentFactory(
        home, local=True, hooks=[call_counter, write_counter], rate_limiter=rate_limiter
    ) as factory:
        for _ in range(runs):
            print(json.dumps(asdict(_measure_run(factory, specs, call_counter, write_counter))), flush=True)


def _measure_run(
    factory: EnvironmentFactory, specs: Path, call_counter: CallCounter, write_counter: WriteCounter
) -> RunMeasurement:
    (cpu, children), started_at = own_cpu(), time.monotonic()
    snapshot = read_now(DirectorySource([specs]))
    options = RunOptions(timeout=_TIMEOUT_SECONDS, pace=_PACE)
    run = run_once(factory, snapshot, CancellationToken(), options)
    reads, writes = call_counter.take()
    objects, repeated = write_counter.take()
    now, measuring = own_cpu()
    return RunMeasurement(
        dict(sorted(reads.items())),
        dict(sorted(writes.items())),
        objects,
        repeated,
        run.steps,
        now - cpu,
        measuring - children,
        time.monotonic() - started_at,
        minimum_seconds(reads + writes),
        peak_megabytes(),
        exit_code(run.statuses),
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
