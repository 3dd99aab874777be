"""Render the status of specs as tables, in full, and as the object that `-o json` prints. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.text import Text

from controller.cli.output.columns import Cell, align_columns, style_status
from controller.cli.output.event_view import event_lines
from controller.core.status import Condition, Event, Status
from controller.core.values import to_json_value
from controller.spec.models import Environment, ModelService
from controller.spec.strict import API_VERSION

Declared = Mapping[tuple[str, str], Environment | ModelService]


def status_table(statuses: Sequence[Status], *, wide: bool = False) -> Text:
    """Render one line for each spec; `wide` adds environment, generation, model digest and image."""
    head: list[Cell] = ["KIND", "NAME", "READY", "STATUS", "VERSION", "TEST RMSE", "ENDPOINT"]
    more: list[Cell] = ["ENVIRONMENT", "GENERATION", "MODEL", "IMAGE"]
    rows = [[*head, *(more if wide else ()), "MESSAGE"]]
    for status in statuses:
        ready = status.find_condition("Ready")
        model = status.facts.get("model", {})
        row: list[Cell] = [
            status.owner.kind,
            status.owner.name,
            style_status(ready.status) if ready else "Unknown",
            ready.reason if ready else "",
            _format_value(model.get("version")),
            _format_value(model.get("metrics", {}).get("test", {}).get("rmse")),
            _format_value(status.facts.get("endpoint")),
        ]
        image = str(status.facts.get("image") or "")
        details: list[Cell] = [
            status.owner.environment,
            str(status.observed_generation),
            str(model.get("sha256", ""))[:12],
            image,
        ]
        rows.append([*row, *(details if wide else ()), ready.message if ready else ""])
    return align_columns(rows)


def resource_table(statuses: Sequence[Status]) -> Text:
    """Render one line for each resource of some specs."""
    head: tuple[Cell, ...] = ("RESOURCE", "STATE", "MESSAGE", "ID")
    rows = [
        (str(state.key), style_status(state.state), state.message, state.id)
        for status in statuses
        for state in status.resources
    ]
    return align_columns([head, *rows])


def description(status: Status, events: Sequence[Event]) -> Text:
    """Render all that the store has of one spec: facts, conditions, resources, events."""
    facts: list[tuple[Cell, Cell]] = [
        ("Kind", status.owner.kind),
        ("Name", status.owner.name),
        ("Environment", status.owner.environment),
        ("Generation", str(status.observed_generation)),
        *((name.capitalize(), _format_value(value)) for name, value in _flat(status.facts)),
    ]
    head: tuple[Cell, ...] = ("CONDITION", "STATUS", "REASON", "SINCE", "MESSAGE")
    conditions = [
        (c.type, style_status(c.status), c.reason, c.last_transition_time, c.message) for c in status.conditions
    ]
    parts = [
        align_columns(facts),
        align_columns([head, *conditions]),
        resource_table([status]),
        *([event_lines(events)] if events else []),
    ]
    return Text("\n\n").join(parts)


def status_object(status: Status, declared: Environment | ModelService | None) -> dict[str, Any]:
    """Return a spec with its `status`, as `get -o json` prints it; without `spec` if no file declares it."""
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


def resource_name(status: Status) -> str:
    """Return the name that `-o name` prints: `modelservice/housing-model`."""
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
    """Return the facts with their dotted paths: `model.metrics.test.rmse`."""
    flat: list[tuple[str, Any]] = []
    for key, value in facts.items():
        flat += _flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else [(f"{prefix}{key}", value)]
    return flat


def _format_value(value: Any) -> str:
    if value is None:
        return ""
    if not isinstance(value, float):
        return str(value)
    return f"{value:,.4g}" if abs(value) < 1000 else f"{value:,.0f}"
