"""Specs and how they stand, as tables, in full, and as the object that `-o json` prints. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.text import Text

from controller.cli.render import Cell, columns, word
from controller.cli.render_events import lines
from controller.core.status import Condition, Event, Status
from controller.core.values import to_json_value
from controller.spec.models import Environment, ModelService
from controller.spec.strict import API_VERSION

Declared = Mapping[tuple[str, str], Environment | ModelService]


def table(statuses: Sequence[Status], *, wide: bool = False) -> Text:
    """One line for each spec; `wide` adds what is long."""
    head: list[Cell] = ["KIND", "NAME", "READY", "STATUS", "VERSION", "TEST RMSE", "ENDPOINT"]
    more: list[Cell] = ["ENVIRONMENT", "GENERATION", "MODEL", "IMAGE"]
    rows = [[*head, *(more if wide else ()), "MESSAGE"]]
    for status in statuses:
        ready = status.find_condition("Ready")
        model = status.facts.get("model", {})
        row: list[Cell] = [
            status.owner.kind,
            status.owner.name,
            word(ready.status) if ready else "Unknown",
            ready.reason if ready else "",
            _shown(model.get("version")),
            _shown(model.get("metrics", {}).get("test", {}).get("rmse")),
            _shown(status.facts.get("endpoint")),
        ]
        image = str(status.facts.get("image") or "")
        details: list[Cell] = [
            status.owner.environment,
            str(status.observed_generation),
            str(model.get("sha256", ""))[:12],
            image,
        ]
        rows.append([*row, *(details if wide else ()), ready.message if ready else ""])
    return columns(rows)


def resources(statuses: Sequence[Status]) -> Text:
    """One line for each resource of some specs."""
    head: tuple[Cell, ...] = ("RESOURCE", "STATE", "MESSAGE", "ID")
    rows = [
        (str(state.key), word(state.state), state.message, state.id)
        for status in statuses
        for state in status.resources
    ]
    return columns([head, *rows])


def describe(status: Status, events: Sequence[Event]) -> Text:
    """Everything known of one spec: facts, conditions, resources, events."""
    facts: list[tuple[Cell, Cell]] = [
        ("Kind", status.owner.kind),
        ("Name", status.owner.name),
        ("Environment", status.owner.environment),
        ("Generation", str(status.observed_generation)),
        *((name.capitalize(), _shown(value)) for name, value in _flat(status.facts)),
    ]
    head: tuple[Cell, ...] = ("CONDITION", "STATUS", "REASON", "SINCE", "MESSAGE")
    conditions = [(c.type, word(c.status), c.reason, c.last_transition_time, c.message) for c in status.conditions]
    parts = [
        columns(facts),
        columns([head, *conditions]),
        resources([status]),
        *([lines(events)] if events else []),
    ]
    return Text("\n\n").join(parts)


def as_object(status: Status, declared: Environment | ModelService | None) -> dict[str, Any]:
    """Give a spec with its `status`, as `get -o json` prints it; `spec` is left out where no file declares it."""
    found = declared.model_dump(mode="json", by_alias=True, exclude_none=True) if declared else {}
    metadata = {"name": status.owner.name, **found.get("metadata", {}), "environment": status.owner.environment}
    return {
        "apiVersion": API_VERSION,
        "kind": status.owner.kind,
        "metadata": metadata,
        **({"spec": found["spec"]} if found else {}),
        "status": {
            "observedGeneration": status.observed_generation,
            "conditions": [_condition(condition) for condition in status.conditions],
            **to_json_value(status.facts),
            "resources": [
                {"key": str(state.key), "id": state.id, "state": state.state, "message": state.message}
                for state in status.resources
            ],
        },
    }


def name(status: Status) -> str:
    """`modelservice/housing-model`."""
    return f"{status.owner.kind.lower()}/{status.owner.name}"


def _condition(condition: Condition) -> dict[str, Any]:
    return {
        "type": condition.type,
        "status": condition.status,
        "reason": condition.reason,
        "message": condition.message,
        "lastTransitionTime": condition.last_transition_time,
        "observedGeneration": condition.observed_generation,
    }


def _flat(facts: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    """Facts with their paths: `model.metrics.test.rmse`."""
    flat: list[tuple[str, Any]] = []
    for key, value in facts.items():
        flat += _flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else [(f"{prefix}{key}", value)]
    return flat


def _shown(value: Any) -> str:
    if value is None:
        return ""
    return (
        f"{value:,.4g}"
        if isinstance(value, float) and abs(value) < 1000
        else f"{value:,.0f}"
        if isinstance(value, float)
        else str(value)
    )
