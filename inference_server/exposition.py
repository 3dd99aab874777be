"""Metrics in Prometheus's text format. The only module that uses the Prometheus library."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from inference_server.metric_families import Buckets, MetricFamily

MEDIA_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
_KINDS: Final[Mapping[str, Callable[..., Any]]] = {
    "counter": CounterMetricFamily,
    "gauge": GaugeMetricFamily,
    "histogram": HistogramMetricFamily,
    "info": InfoMetricFamily,
}


def render(families: Iterable[MetricFamily]) -> bytes:
    """Render metric families in the text format 0.0.4."""
    registry = CollectorRegistry()
    registry.register(_SingleScrape(families))
    return generate_latest(registry)


class _SingleScrape(Collector):
    def __init__(self, families: Iterable[MetricFamily]) -> None:
        self._families = families

    def describe(self) -> Iterable[Metric]:
        """Return nothing: otherwise the registry would collect the families once more at registration."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """Convert to the library's own families."""
        return map(_translate, self._families)


def _translate(family: MetricFamily) -> Any:
    names = tuple(family.samples[0][0]) if family.samples else ()
    metric = _KINDS[family.kind](family.name, family.text, labels=names)
    for labels, value in family.samples:
        values = (value.counts, value.total) if isinstance(value, Buckets) else (value,)
        metric.add_metric(tuple(labels.values()), *values)
    return metric
