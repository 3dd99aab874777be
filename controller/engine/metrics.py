"""What `/metrics` tells, in Prometheus' terms. A table of all of it is made from here: `docs/reference/metrics.md`."""

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
_TIME = "How long one spec's part of a pass took."
_HINTS = "Hints that something changed, by origin and result."
_INTERVAL = "How often everything is looked at; stretched to keep reads under half of AWS's rates."


class Metrics(Hook):
    """The controller's counters. As a hook of the doors it counts calls; `told` and `read` are told the rest."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        counter, gauge = partial(Counter, registry=self.registry), partial(Gauge, registry=self.registry)
        per_call = ["service", "operation"]
        self.passes = counter("moorage_passes", "Passes over one spec, by what came of them.", ["kind", "result"])
        self.seconds = Histogram("moorage_pass_seconds", _TIME, ["kind"], buckets=_SECONDS, registry=self.registry)
        self.steps = counter("moorage_steps", "Steps carried out, by action and type.", ["action", "resource"])
        self.calls = counter("moorage_aws_calls", "Calls sent to AWS, repeats included.", per_call)
        self.throttles = counter("moorage_aws_throttles", "Calls that AWS throttled.", per_call)
        self.reads = counter("moorage_source_reads", "Times the source was read, by result.", ["result"])
        self.hints = counter("moorage_hints", _HINTS, ["origin", "result"])
        self.source = gauge("moorage_source_good", "1 when the newest that the source has can be used.")
        self.interval = gauge("moorage_resync_seconds", _INTERVAL)
        self._depth = gauge("moorage_queue_depth", "Specs that are due and not at work.")
        self._failing = gauge("moorage_queue_failing", "Specs that are in a pause after a failure.")
        self._flying = gauge("moorage_queue_unsettled", "Specs that are at work or have a date.")
        self._lease = gauge("moorage_leases_held", "Leases that are ours.")
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
        """Ask these when somebody reads the gauges."""
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
        """Forget the conditions of specs that are declared no more."""
        kept = set(owners)
        self._statuses.latest = {owner: status for owner, status in self._statuses.latest.items() if owner in kept}

    def before(self, call: AwsCall) -> None:
        """Count a call."""
        self.calls.labels(call.service, call.operation).inc()

    def after(self, call: AwsCall, answer: Mapping[str, object] | MoorageError) -> None:
        """Count a throttled one."""
        if isinstance(answer, ThrottledError):
            self.throttles.labels(call.service, call.operation).inc()

    def exposition(self) -> bytes:
        """The page, in Prometheus' text format."""
        return generate_latest(self.registry)

    def describe(self) -> list[tuple[str, str, str]]:
        """Name, type and meaning of every metric, by name."""
        return sorted((_family_name(family), family.type, family.documentation) for family in self.registry.collect())


class _ConditionCollector(Collector):
    """How many specs have which condition; counted when asked, so that nothing of a removed spec stays."""

    def __init__(self) -> None:
        self.latest: dict[object, Status] = {}

    def collect(self) -> Iterator[Metric]:
        family = GaugeMetricFamily(
            "moorage_conditions", "Specs by condition and its status.", labels=["type", "status"]
        )
        counts = Tally((c.type, c.status) for status in self.latest.values() for c in status.conditions)
        for (kind, truth), count in sorted(counts.items()):
            family.add_metric([kind, truth], count)
        yield family


def result_of(attempt: PassAttempt) -> str:
    """`error`, `waiting` or `settled`."""
    if attempt.error is not None:
        return "error"
    return "waiting" if attempt.result is not None and attempt.result.requeue_after is not None else "settled"


def _family_name(family: Metric) -> str:
    return f"{family.name}_total" if family.type == "counter" else family.name
