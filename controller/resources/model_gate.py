"""The gate: whether a candidate's metrics allow it to serve. It is computed, and stored nowhere."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from controller.aws import AwsClient
from controller.core.graph import Node, Observed, Target
from controller.core.spec_context import SpecContext
from controller.core.values import Key, Ref, Value, digest
from controller.resources.base import Resource


class ModelGate(Resource):
    """The spec's gates, compared with a bundle's metrics.

    Outputs: `passed`; `message`, for people; `decision`, a short text that differs for other gates or metrics.
    """

    kind = "model/gate"
    read_only = True

    def expand(self, context: SpecContext) -> Iterable[Node]:
        """Return one gate for the spec's candidate."""
        if context.trainable_spec is not None:
            gates = [gate.model_dump(exclude_none=True) for gate in context.trainable_spec.spec.model.gates]
            yield Node(
                context.own_key(self.kind), {"gates": gates, "metrics": Ref(context.own_key("model/bundle"), "metrics")}
            )

    def observe(self, aws: AwsClient, targets: Sequence[Target]) -> dict[Key, Observed]:
        """Compare the metrics with the gates. No call is made."""
        del aws
        return {
            target.key: Observed({}, evaluate_gates(target.identity["gates"], target.identity["metrics"]))
            for target in targets
        }


def evaluate_gates(gates: Sequence[Mapping[str, Any]], metrics: Mapping[str, Mapping[str, float]]) -> dict[str, Value]:
    """Return the gates' result for the metrics (`{"test": {"rmse": 49610.0}}`).

    A metric that wasn't measured doesn't pass.
    """
    failures = [failure for gate in gates if (failure := _describe_failure(gate, metrics))]
    passed = not failures
    plural = "" if len(gates) == 1 else "s"
    message = "; ".join(failures) or (f"{len(gates)} gate{plural} passed" if gates else "no gates")
    return {
        "passed": passed,
        "message": message,
        "decision": f"{'passed' if passed else 'failed'} {digest(gates, metrics)[:12]}",
    }


def _describe_failure(gate: Mapping[str, Any], metrics: Mapping[str, Mapping[str, float]]) -> str:
    name, dataset = gate["metric"], gate["dataset"]
    value = metrics.get(dataset, {}).get(name)
    if value is None:
        return f"{dataset} {name} was not measured"
    # Written so that a NaN passes no gate.
    if "max" in gate and not value <= gate["max"]:
        return f"{dataset} {name} is {value:g}, above {gate['max']:g}"
    if "min" in gate and not value >= gate["min"]:
        return f"{dataset} {name} is {value:g}, below {gate['min']:g}"
    return ""
