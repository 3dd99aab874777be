"""Metrics as log lines for CloudWatch, for tasks without a Prometheus scraper: `--emf-interval SECONDS`.

Each line is a JSON object in CloudWatch's embedded metric format. CloudWatch Logs extracts the metrics; the server
calls no API. The lines report the change of the Prometheus metrics since the previous lines.
Source: "Specification: Embedded metric format" in the CloudWatch user guide.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

import orjson

from inference_server.metric_families import Buckets, MetricFamily

NAMESPACE: Final = "Moorage"
_MAX_VALUES: Final = 100  # per metric and line, as specified
_COUNT, _MILLISECONDS, _NONE = "Count", "Milliseconds", "None"

_Totals = dict[tuple[str, tuple[str, ...]], float]  # family and label values (the last a bucket's edge) → value
_Metrics = Mapping[str, tuple[str, Any]]  # name → unit, value or values


class EmfFormatter:
    """Formats the log lines of one server. Every line has the dimension `model`."""

    def __init__(self, model: str) -> None:
        self._model = model
        self._previous: _Totals = {}

    def format_changes(self, families: Iterable[MetricFamily], milliseconds: int) -> Iterator[bytes]:
        """Yield the lines for all changes since the last call; `milliseconds` is the time since the epoch."""
        now = dict(_totals(families))
        change = {key: value - self._previous.get(key, 0.0) for key, value in now.items()}
        self._previous = now
        groups: list[tuple[dict[str, str], _Metrics]] = [({}, _model_metrics(now, change))]
        groups += [({"Route": route}, metrics) for route, metrics in _route_metrics(change)]
        groups += [({"Feature": feature}, metrics) for feature, metrics in _feature_metrics(now, change)]
        for dimensions, metrics in groups:
            yield _line({"Model": self._model, **dimensions}, metrics, milliseconds)


def _totals(families: Iterable[MetricFamily]) -> Iterator[tuple[tuple[str, tuple[str, ...]], float]]:
    for family in families:
        for labels, value in family.samples:
            label_values = tuple(labels.values())
            if isinstance(value, Buckets):
                yield from (((family.name, (*label_values, edge)), count) for edge, count in value.counts)
            elif not isinstance(value, Mapping):
                yield (family.name, label_values), value


def _model_metrics(now: _Totals, change: _Totals) -> _Metrics:
    metrics: dict[str, tuple[str, Any]] = {
        "Rows": (_COUNT, change["moorage_rows", ()]),
        "Pending": (_COUNT, now["moorage_requests_pending", ()]),
        "WorkersReady": (_COUNT, now["moorage_workers_ready", ()]),
    }
    if (drift := now.get(("moorage_prediction_drift", ()))) is not None:
        metrics["PredictionDrift"] = (_NONE, drift)
    return metrics


def _route_metrics(change: _Totals) -> Iterator[tuple[str, _Metrics]]:
    """Count requests by route: all, refused (4xx, and 503 for a full queue) and failed (other 5xx)."""
    counts: dict[str, dict[str, float]] = defaultdict(lambda: dict.fromkeys(("Requests", "Refused", "Failed"), 0.0))
    buckets: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for (name, labels), value in change.items():
        if name == "moorage_requests" and value:
            route, status = labels
            for kind in _request_kinds(status):
                counts[route][kind] += value
        elif name == "moorage_request_seconds":
            route, edge = labels
            buckets[route].append((float(edge), value))
    for route, metrics in counts.items():
        latency = (_MILLISECONDS, _representative_values(buckets[route]))
        yield route, {kind: (_COUNT, count) for kind, count in metrics.items()} | {"Latency": latency}


def _request_kinds(status: str) -> list[str]:
    if status in {"500", "504"}:
        return ["Requests", "Failed"]
    if status.startswith("4") or status == "503":
        return ["Requests", "Refused"]
    return ["Requests"]


def _feature_metrics(now: _Totals, change: _Totals) -> Iterator[tuple[str, _Metrics]]:
    features: dict[str, dict[str, tuple[str, Any]]] = defaultdict(dict)
    for (name, labels), value in change.items():
        if name == "moorage_feature_missing":
            features[labels[0]]["Missing"] = (_COUNT, value)
        elif name == "moorage_feature_out_of_range":
            _, before = features[labels[0]].get("OutOfRange", (_COUNT, 0.0))
            features[labels[0]]["OutOfRange"] = (_COUNT, before + value)
        elif name == "moorage_feature_drift":
            features[labels[0]]["Drift"] = (_NONE, now[name, labels])
    yield from features.items()


def _representative_values(buckets: list[tuple[float, float]]) -> list[float]:
    """Return values that represent a cumulative histogram.

    They are evenly spaced by rank; each is its bucket's upper edge in milliseconds.
    """
    total = round(buckets[-1][1])
    count = min(total, _MAX_VALUES)
    largest = buckets[-2][0]
    ranks = ((index + 0.5) * total / count for index in range(count))
    return [round(1000 * min(next(edge for edge, below in buckets if rank <= below), largest), 3) for rank in ranks]


def _line(dimensions: Mapping[str, str], metrics: _Metrics, milliseconds: int) -> bytes:
    directive = {
        "Namespace": NAMESPACE,
        "Dimensions": [list(dimensions)],
        "Metrics": [{"Name": name, "Unit": unit} for name, (unit, _) in metrics.items()],
    }
    root: dict[str, Any] = {"_aws": {"Timestamp": milliseconds, "CloudWatchMetrics": [directive]}, **dimensions}
    return orjson.dumps(root | {name: value for name, (_, value) in metrics.items()}, option=orjson.OPT_APPEND_NEWLINE)
