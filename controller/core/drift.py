"""Find the origin of a difference: drift in AWS, or a changed spec. Pure.

The origin follows from three values: the last applied one (the record), the live one and the declared one.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from controller.core.diff import Change, diff
from controller.core.field_policy import FieldPolicy
from controller.core.graph import Observed
from controller.core.plan import Action, Plan, Step, find_record
from controller.core.record import Record
from controller.core.values import ABSENT, Blob, Key, Sentinel, Value, is_known, to_json_value

_MAX_WIDTH = 100
_IN_PLACE_ACTIONS = (Action.UPDATE, Action.REVISE, Action.ADOPT)


class Origin(StrEnum):
    """Why a field differs."""

    DRIFT = "drift"
    """AWS differs from what was last applied; the spec doesn't."""
    SPEC = "spec"
    """AWS is as last applied; the spec asks for something else."""
    BOTH = "both"
    """Both AWS and the spec differ from what was last applied."""
    FOLLOWS = "follows"
    """The value follows from another step and is known after it."""
    UNKNOWN = "unknown"
    """The store has no record of what was last applied."""


@dataclass(frozen=True)
class FieldDifference:
    """One field that differs from the spec: `change.old` is live, `change.new` declared.

    `applied` is set if it is neither.
    """

    change: Change
    origin: Origin
    applied: Value = ABSENT


@dataclass(frozen=True)
class ResourceDrift:
    """One object that differs from the spec. `id` is its AWS id, empty if it doesn't exist."""

    step: Step
    id: str
    fields: tuple[FieldDifference, ...]

    @property
    def is_existence_drift(self) -> bool:
        """Whether the object's existence differs, not a field."""
        return self.step.action not in _IN_PLACE_ACTIONS

    @property
    def origin(self) -> Origin:
        """Why the object as a whole differs: the origin of its fields, or of its existence."""
        found = {difference.origin for difference in self.fields}
        if len(found) > 1:
            return Origin.BOTH if Origin.DRIFT in found or Origin.BOTH in found else Origin.SPEC
        return found.pop() if found else Origin.SPEC


def find_resource_drifts(
    plan: Plan, records: Collection[Record], seen: Mapping[Key, Observed], policies: Callable[[str], FieldPolicy]
) -> list[ResourceDrift]:
    """Return every object that a plan would change, with its differences and their origins.

    `policies` returns a kind's policy.
    """
    found = []
    for step in plan.steps:
        live = seen.get(step.node.key) if step.action in _IN_PLACE_ACTIONS else None
        fields = find_field_differences(step, records, live, policies(step.node.key.kind))
        found.append(ResourceDrift(step, live.id if live else "", fields))
    return found


def find_field_differences(
    step: Step, records: Collection[Record], live: Observed | None, policy: FieldPolicy
) -> tuple[FieldDifference, ...]:
    """Return the changes of a step, each with its origin. `live` is the observed object of the step's node."""
    record = find_record(records, step.node)
    if live is None or record is None:
        origin = _existence_origin(step, record, live)
        return tuple(FieldDifference(change, origin) for change in step.changes)
    wanted = diff(record.managed_fields, record.fields, step.node.desired, policy)
    drifted = diff(record.managed_fields, live.fields, record.fields, policy)
    return tuple(_attribute_change(change, wanted, drifted) for change in step.changes)


def _existence_origin(step: Step, record: Record | None, live: Observed | None) -> Origin:
    """Return the origin for an object that doesn't exist or has no record."""
    if live is None and record is not None and record.should_exist:
        return Origin.DRIFT
    if live is not None and step.action is not Action.ADOPT:
        return Origin.UNKNOWN
    follows = step.action is not Action.CREATE and not is_known(step.node.identity)
    return Origin.FOLLOWS if follows else Origin.SPEC


def _attribute_change(change: Change, wanted: Iterable[Change], drifted: Iterable[Change]) -> FieldDifference:
    spec = next((other for other in wanted if _paths_overlap(change, other)), None)
    drift = next((other for other in drifted if _paths_overlap(change, other)), None)
    if drift is not None and spec is not None:
        known = is_known(change.new)
        return FieldDifference(change, Origin.BOTH if known else Origin.DRIFT, drift.new)
    if drift is not None:
        return FieldDifference(change, Origin.DRIFT)
    return FieldDifference(change, Origin.SPEC if is_known(change.new) else Origin.FOLLOWS)


def _paths_overlap(one: Change, other: Change) -> bool:
    """Return whether two paths are equal or one contains the other."""
    first, second = f"{one.path}.", f"{other.path}."
    return first.startswith(second) or second.startswith(first)


def format_drift(differences: Iterable[FieldDifference]) -> str:
    """Return the drift in one line: each field with its applied and live values.

    Of a list, what was added and removed.
    """
    drifted = [difference for difference in differences if difference.origin in (Origin.DRIFT, Origin.BOTH)]
    parts = [f"{item.change.path}: {_format_change(_applied_value(item), item.change.old)}" for item in drifted]
    more = f" and {len(parts) - 4} more" if len(parts) > 4 else ""
    return "; ".join(parts[:4]) + more


def _applied_value(item: FieldDifference) -> Value:
    return item.change.new if item.origin is Origin.DRIFT and is_known(item.change.new) else item.applied


def _format_change(applied: Value, live: Value) -> str:
    if isinstance(applied, list) and isinstance(live, list):
        came = [f"+{format_value(member)}" for member in live if member not in applied]
        went = [f"-{format_value(member)}" for member in applied if member not in live]
        # With both added and removed members, the order may matter.
        if bool(came) is not bool(went):
            return ", ".join(came or went)
    return f"{format_value(applied)} → {format_value(live)}"


def format_value(value: Value) -> str:
    """Return a value on one line, in readable form."""
    if isinstance(value, Sentinel):
        return value.value
    if isinstance(value, Blob):
        return f"sha256:{value.sha256[:12]} ({value.size:,} bytes)"
    text = json.dumps(to_json_value(value), ensure_ascii=False)
    return text if len(text) <= _MAX_WIDTH else f"{text[: _MAX_WIDTH - 1]}…"
