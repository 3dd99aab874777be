"""What Prometheus sees. Labels are few and known beforehand: routes of the table, never a path that a client made up."""

from __future__ import annotations

from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics, generate_latest

from inference_server.manifest import Manifest

MEDIA_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
_SECONDS: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
_ROWS: Final = (1, 2, 4, 8, 16, 32, 64, 128, 256, 1024, 4096, 16384)


disable_created_metrics()  # type: ignore[no-untyped-call]  # they double the series, and nobody here reads them


class Metrics:
    """The counters of one process."""

    def __init__(self, manifest: Manifest) -> None:
        self.registry = own = CollectorRegistry()
        self._requests = Counter("moorage_requests", "Requests answered.", ("route", "status"), registry=own)
        self._latency = Histogram(
            "moorage_request_seconds",
            "From the head of a request to its answer.",
            ("route",),
            buckets=_SECONDS,
            registry=own,
        )
        self._rows = Counter("moorage_rows", "Rows predicted.", registry=own)
        self._batch = Histogram("moorage_batch_rows", "Rows per call to the engine.", buckets=_ROWS, registry=own)
        self.in_flight = Gauge("moorage_requests_in_flight", "Requests that wait for their answer.", registry=own)
        self.ready = Gauge("moorage_ready", "1 while the server may take traffic.", registry=own)
        Gauge("moorage_model_info", "The served model.", ("name", "version", "sha256"), registry=own).labels(
            manifest.name, str(manifest.version or ""), manifest.model.sha256
        ).set(1)
        self._by_status: dict[tuple[str, int], Counter] = {}
        self._by_route: dict[str, Histogram] = {}

    def answered(self, route: str, status: int, seconds: float) -> None:
        """Count one answered request."""
        counter = self._by_status.get((route, status))
        if counter is None:
            counter = self._by_status[route, status] = self._requests.labels(route, str(status))
        counter.inc()
        histogram = self._by_route.get(route)
        if histogram is None:
            histogram = self._by_route[route] = self._latency.labels(route)
        histogram.observe(seconds)

    def predicted(self, rows: int) -> None:
        """Count one call to the engine."""
        self._rows.inc(rows)
        self._batch.observe(rows)

    def render(self) -> bytes:
        """Write everything in Prometheus' text format."""
        return generate_latest(self.registry)
