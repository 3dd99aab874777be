"""The metrics behind `/metrics`. `make generate` writes their reference, `docs/reference/metrics.md`, from here."""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from controller.aws.calls import AwsCall, Hook
from controller.core.status import Status
from controller.engine.dispatcher import PassAttempt
from controller.errors import MoorageError, ThrottledError

_SECONDS = (0.1, 0.5, 1, 2, 5, 10, 30, 60, 120, 300)
_TIME = "Duration of one spec's part of a pass."
_HINTS = "Hints of a change, by origin and result."
_INTERVAL = "Interval between resyncs; stretched to keep reads under half of AWS's rate limits."


class Metrics(Hook):
    """The controller's metrics. As a hook of the AWS clients it counts calls; the loop reports the rest."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        counter, gauge = partial(Counter, registry=self.registry), partial(Gauge, registry=self.registry)
        per_call = ["service", "operation"]
        self.passes = counter("moorage_passes", "Passes over one spec, by result.", ["kind", "result"])
        self.seconds = Histogram("moorage_pass_seconds", _TIME, ["kind"], buckets=_SECONDS, registry=self.registry)
        self.steps = counter("moorage_steps", "Executed steps, by action and resource type.", ["action", "resource"])
        self.calls = counter("moorage_aws_calls", "Calls sent to AWS, retries included.", per_call)
        self.throttles = counter("moorage_aws_throttles", "Calls that AWS throttled.", per_call)
        self.reads = counter("moorage_source_reads", "Reads of the source, by result.", ["result"])
        self.hints = counter("moorage_hints", _HINTS, ["origin", "result"])
        self.source = gauge("moorage_source_good", "1 if the newest revision of the source is usable, else 0.")
        self.interval = gauge("moorage_resync_seconds", _INTERVAL)
        self._depth = gauge("moorage_queue_depth", "Specs that are due and not in flight.")
        self._failing = gauge("moorage_queue_failing", "Specs in the pause after a failure.")
        self._flying = gauge("moorage_queue_unsettled", "Specs that are in flight or have a due date.")
        self._lease = gauge("moorage_leases_held", "Leases that this process holds.")
        self._statuses = _ConditionCollector()
        self.registry.register(self._statuses)

    def register_gauges(
        self,
        *,
        depth: Callable[[], float],
        failing: Callable[[], float],
        unsettled: Callable[[], float],
        leases: Callable[[], float],
    ) -> None:
        """Register the functions that give the gauges their values at each scrape."""
        self._depth.set_function(depth)
        self._failing.set_function(failing)
        self._flying.set_function(unsettled)
        self._lease.set_function(leases)

    def record_attempt(self, attempt: PassAttempt) -> None:
        """Count one spec's pass."""
        self.passes.labels(attempt.key.kind, result_of(attempt)).inc()
        self.seconds.labels(attempt.key.kind).observe(attempt.seconds)
        if attempt.result is not None:
            for step in attempt.result.completed_steps:
                self.steps.labels(step.action.value, step.node.key.kind).inc()
            self._statuses.latest |= {status.owner: status for status in attempt.result.statuses}

    def keep_specs(self, owners: Iterable[object]) -> None:
        """Drop the conditions of specs that are no longer declared."""
        kept = set(owners)
        self._statuses.latest = {owner: status for owner, status in self._statuses.latest.items() if owner in kept}

    def before(self, call: AwsCall) -> None:
        """Count a call."""
        self.calls.labels(call.service, call.operation).inc()

    def after(self, call: AwsCall, answer: Mapping[str, object] | MoorageError) -> None:
        """Count a throttled call."""
        if isinstance(answer, ThrottledError):
            self.throttles.labels(call.service, call.operation).inc()

    def exposition(self) -> bytes:
        """Return all metrics in Prometheus' text format."""
        return generate_latest(self.registry)

    def describe(self) -> list[tuple[str, str, str]]:
        """Return name, type and help text of every metric, sorted by name."""
        return sorted((_family_name(family), family.type, family.documentation) for family in self.registry.collect())


class _ConditionCollector(Collector):
    """Counts specs by condition at each scrape, so that a removed spec leaves nothing behind."""

    def __init__(self) -> None:
        self.latest: dict[object, Status] = {}

    def collect(self) -> Iterator[Metric]:
        family = GaugeMetricFamily("moorage_conditions", "Specs by condition and status.", labels=["type", "status"])
        counts = Tally((c.type, c.status) for status in self.latest.values() for c in status.conditions)
        for (kind, truth), count in sorted(counts.items()):
            family.add_metric([kind, truth], count)
        yield family


def result_of(attempt: PassAttempt) -> str:
    """Return `error`, `waiting` or `settled`."""
    if attempt.error is not None:
        return "error"
    return "waiting" if attempt.result is not None and attempt.result.requeue_after is not None else "settled"


def _family_name(family: Metric) -> str:
    return f"{family.name}_total" if family.type == "counter" else family.name
