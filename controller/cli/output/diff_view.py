"""Render the differences between live and declared objects, as text and as JSON. Pure."""

from __future__ import annotations

import difflib
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from rich.text import Text

from controller.core.drift import FieldDifference, Origin, ResourceDrift, format_value
from controller.core.plan import Action, Refusal
from controller.core.values import ABSENT, Blob, Key, Sentinel, Value, to_json_value

_DRIFT = (Origin.DRIFT, Origin.BOTH)
_WHY = {
    Origin.DRIFT: "drift: changed in AWS since it was applied",
    Origin.SPEC: "the spec changed",
    Origin.FOLLOWS: "follows from another change",
    Origin.UNKNOWN: "unknown: the store has no record of the last apply",
}
_HELD = {"Suspended": "policy.suspend is true", "Drifted": "policy.driftCorrection is false"}
_COUNTED = {
    Origin.DRIFT: "by drift",
    Origin.SPEC: "by a changed spec",
    Origin.BOTH: "by both",
    Origin.FOLLOWS: "following from others",
    Origin.UNKNOWN: "of unknown origin",
}


def has_drift(item: ResourceDrift) -> bool:
    """Return whether at least one field drifted."""
    return any(field.origin in _DRIFT for field in item.fields)


def diff_text(drifts: Sequence[ResourceDrift], refusals: Sequence[Refusal]) -> Text:
    """Render each object as a unified diff by field, `-` live and `+` declared, and a summary of counts and reasons."""
    if not drifts and not refusals:
        return Text("No difference: AWS matches the specs.")
    lines = [line for item in drifts for line in _object(item)]
    lines += [line for refusal in refusals for line in _refused(refusal)]
    return Text("\n").join([*lines, Text(), Text(_summary(drifts, refusals))])


def diff_data(drifts: Sequence[ResourceDrift], refusals: Sequence[Refusal]) -> dict[str, Any]:
    """Return the differences as JSON: `null` is absent, `(known after apply)` is a value that only an apply reveals."""
    return {
        "differs": bool(drifts or refusals),
        "objects": [_object_data(item) for item in drifts],
        "refusals": [
            {**_key_data(refusal.node.key), "message": refusal.message, "hint": refusal.hint} for refusal in refusals
        ],
        "summary": {"objects": len(drifts), "drifted": sum(map(has_drift, drifts)), "fields": _counts(drifts)},
    }


def _object(item: ResourceDrift) -> Iterator[Text]:
    step, key = item.step, str(item.step.node.key)
    owner = f"{step.owner.kind} {step.owner.name}"
    if item.is_existence_drift:
        side, style = ("live", "red") if step.action is Action.DELETE else ("declared", "green")
        yield Text(f"Only {side}: {key}  ({_existence_line(item)})", style)
        return
    yield Text(f"--- live      {key}  {item.id}".rstrip(), "bold")
    yield Text(f"+++ declared  {key}  {owner}", "bold")
    for field in item.fields:
        held = f"; not corrected: {_HELD[step.held]}" if step.held else ""
        yield Text(f"@@ {field.change.path} @@ {_why(field)}{held}", "cyan")
        yield from _sides(field.change.old, field.change.new)


def _existence_line(item: ResourceDrift) -> str:
    """Return why an object exists on one side only."""
    if item.step.action is Action.DELETE:
        return item.step.why
    if item.origin is Origin.DRIFT:
        return "drift: deleted in AWS since it was applied"
    return "not created yet" if item.step.action is Action.CREATE else "replaces the live object"


def _why(field: FieldDifference) -> str:
    if field.origin is Origin.BOTH:
        return f"drift, and the spec changed: last applied as {format_value(field.applied)}"
    return _WHY[field.origin]


def _sides(live: Value, declared: Value) -> Iterator[Text]:
    """Compare two values line by line, with the common lines in between."""
    for line in difflib.ndiff(_lines(live), _lines(declared)):
        if not line.startswith("?"):
            style = {"-": "red", "+": "green"}.get(line[0], "")
            yield Text(f"{line[0]}{line[2:]}", style)


def _lines(value: Value) -> list[str]:
    if value is ABSENT:
        return []
    if isinstance(value, Sentinel | Blob):
        return [format_value(value)]
    return json.dumps(to_json_value(value), indent=2, ensure_ascii=False).splitlines()


def _refused(refusal: Refusal) -> Iterator[Text]:
    yield Text.assemble(("! ", "red"), f"{refusal.node.key}: {refusal.message} ({refusal.hint})")


def _counts(drifts: Iterable[ResourceDrift]) -> dict[str, int]:
    counted = Counter(field.origin for item in drifts if not item.is_existence_drift for field in item.fields)
    return {origin.value: counted[origin] for origin in Origin if origin in counted}


def _summary(drifts: Sequence[ResourceDrift], refusals: Sequence[Refusal]) -> str:
    wholes = Counter(_existence_line(item) for item in drifts if item.is_existence_drift)
    parts = [f"{number} {why}" for why, number in wholes.items()]
    fields = [f"{number} {_COUNTED[Origin(origin)]}" for origin, number in _counts(drifts).items()]
    if fields:
        parts.append(f"fields {', '.join(fields)}")
    if refusals:
        parts.append(f"{len(refusals)} refused")
    return f"{len(drifts)} object{'s differ' if len(drifts) != 1 else ' differs'}: {'; '.join(parts)}."


def _object_data(item: ResourceDrift) -> dict[str, Any]:
    return {
        **_key_data(item.step.node.key),
        "spec": f"{item.step.owner.kind} {item.step.owner.name}",
        "id": item.id or None,
        "action": item.step.action.value,
        "later": item.step.later,
        "origin": item.origin.value,
        "fields": [_field_data(field) for field in item.fields],
    }


def _field_data(field: FieldDifference) -> dict[str, Any]:
    return {
        "path": field.change.path,
        "live": _plain(field.change.old),
        "declared": _plain(field.change.new),
        **({"applied": _plain(field.applied)} if field.origin is Origin.BOTH else {}),
        "origin": field.origin.value,
    }


def _plain(value: Value) -> Value:
    return None if value is ABSENT else to_json_value(value)


def _key_data(key: Key) -> dict[str, str]:
    return {"environment": key.environment, "resource": key.kind, "name": key.name}
