"""The metrics for Prometheus, summed over all worker processes.

Each worker counts in its own part of one shared memory block, with plain additions. The worker that answers `/metrics`
sums the parts. So counting is cheap, any worker reports the totals, and no file is written. Labels are few and known in
advance: the routes of the table, never a path from a client.
"""

from __future__ import annotations

import mmap
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate, chain
from typing import Final

from inference_server.errors import RequestError
from inference_server.manifest import Manifest
from inference_server.metric_families import Buckets, MetricFamily, MetricSource

# Slots per worker, enough for thousands of features. The system provides memory only once it is written to. Allocating
# more slots raises IndexError at startup.
_SLOTS: Final = 2**18
_SECONDS: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
_ROWS: Final = (1, 2, 4, 8, 16, 32, 64, 128, 256, 1024, 4096, 16384)


class SharedCounters:
    """The shared memory, created before workers are forked. `worker` selects the part that this process writes."""

    def __init__(self, workers: int = 1) -> None:
        self._numbers = memoryview(mmap.mmap(-1, workers * _SLOTS * 8)).cast("d")
        self._workers = workers
        self._next = 0
        self.worker = 0

    def allocate(self, count: int) -> range:
        """Allocate `count` slots. Raise IndexError when the memory is full.

        Workers of one model allocate the same slots in the same order.
        """
        start, self._next = self._next, self._next + count
        if self._next > _SLOTS:
            raise IndexError("all shared counters are allocated")
        return range(start, self._next)

    def worker_slots(self) -> memoryview[float]:
        """Return this worker's part: one float per slot."""
        return self._numbers[self.worker * _SLOTS : (self.worker + 1) * _SLOTS]

    def sum_slots(self, slots: Iterable[int]) -> list[float]:
        """Sum each slot over all workers."""
        return [sum(self._numbers[worker * _SLOTS + slot] for worker in range(self._workers)) for slot in slots]


class _Histogram:
    """Counts per bucket, the last without an upper edge, and the sum of all observations."""

    def __init__(self, counters: SharedCounters, edges: Sequence[float]) -> None:
        self._counters, self._edges, self._worker_slots = counters, edges, counters.worker_slots()
        self._slots = counters.allocate(len(edges) + 2)
        self._first, self._sum = self._slots.start, self._slots[-1]

    def observe(self, value: float) -> None:
        """Count one value."""
        self._worker_slots[self._first + bisect_left(self._edges, value)] += 1
        self._worker_slots[self._sum] += value

    def read(self) -> Buckets:
        """Return the counts of all workers."""
        *counts, total = self._counters.sum_slots(self._slots)
        names = [*(f"{edge:g}" for edge in self._edges), "+Inf"]
        return Buckets(list(zip(names, accumulate(counts), strict=True)), total)


class Metrics:
    """The counters of one process; reads sum over all workers. Only the event loop's thread may count."""

    def __init__(self, manifest: Manifest, counters: SharedCounters) -> None:
        self._manifest, self._counters, self._worker_slots = manifest, counters, counters.worker_slots()
        self._requests: dict[tuple[str, int], int] = {}
        self._seconds: dict[str, _Histogram] = {}
        self._batches = _Histogram(counters, _ROWS)
        self._rows, self._pending, self._ready = counters.allocate(3)
        codes = sorted(rejection_codes(RequestError))
        self._rejections = dict(zip(codes, counters.allocate(len(codes)), strict=True))
        self._sources: list[MetricSource] = [self]

    def add_source(self, source: MetricSource) -> None:
        """Include the metrics of another source."""
        self._sources.append(source)

    def register_routes(self, routes: Iterable[str], statuses: Sequence[int]) -> None:
        """Allocate counters for these routes, each with these statuses; no others can be counted."""
        for route in routes:
            self._requests |= {
                (route, status): slot
                for status, slot in zip(statuses, self._counters.allocate(len(statuses)), strict=True)
            }
            self._seconds[route] = _Histogram(self._counters, _SECONDS)

    def count_response(self, route: str, status: int, seconds: float) -> None:
        """Count one response."""
        self._worker_slots[self._requests[route, status]] += 1
        self._seconds[route].observe(seconds)

    def count_rejection(self, code: str) -> None:
        """Count one rejection by its code."""
        self._worker_slots[self._rejections[code]] += 1

    def count_prediction(self, rows: int) -> None:
        """Count one call to the engine."""
        self._worker_slots[self._rows] += rows
        self._batches.observe(rows)

    def add_pending(self, change: int) -> None:
        """Add `change` to the number of requests that wait for a prediction."""
        self._worker_slots[self._pending] += change

    def set_ready(self, state: bool) -> None:
        """Record whether this process takes traffic."""
        self._worker_slots[self._ready] = float(state)

    def collect_all(self) -> Iterator[MetricFamily]:
        """Yield the metrics of all sources."""
        return chain.from_iterable(source.collect() for source in self._sources)

    def collect(self) -> Iterator[MetricFamily]:
        """Yield this source's metrics, summed over the workers."""
        requests = zip(self._requests, self._counters.sum_slots(self._requests.values()), strict=True)
        answered = [({"route": route, "status": str(status)}, count) for (route, status), count in requests if count]
        yield MetricFamily("counter", "moorage_requests", "Requests answered.", answered)
        rejects = zip(self._rejections, self._counters.sum_slots(self._rejections.values()), strict=True)
        refused = [({"code": code}, count) for code, count in rejects if count]
        yield MetricFamily("counter", "moorage_rejects", "Requests refused, by reason.", refused)
        histograms = {route: histogram.read() for route, histogram in self._seconds.items()}
        times = [({"route": route}, found) for route, found in histograms.items() if found.counts[-1][1]]
        yield MetricFamily("histogram", "moorage_request_seconds", "From the head of a request to its answer.", times)
        yield MetricFamily(
            "histogram", "moorage_batch_rows", "Rows per call to the engine.", [({}, self._batches.read())]
        )
        rows, pending, ready = self._counters.sum_slots((self._rows, self._pending, self._ready))
        yield MetricFamily("counter", "moorage_rows", "Rows predicted.", [({}, rows)])
        yield MetricFamily("gauge", "moorage_requests_pending", "Requests that wait for a prediction.", [({}, pending)])
        yield MetricFamily("gauge", "moorage_workers_ready", "Worker processes that may take traffic.", [({}, ready)])
        version = str(self._manifest.version or "")
        model = {"name": self._manifest.name, "version": version, "sha256": self._manifest.model.sha256}
        yield MetricFamily("info", "moorage_model", "The served model.", [({}, model)])


def rejection_codes(error: type[RequestError]) -> set[str]:
    """Return the codes of an error class and its subclasses."""
    return {error.code}.union(*map(rejection_codes, error.__subclasses__()))
