"""Where a difference comes from: somebody changed AWS, or the spec was changed. Pure.

Told from three sides: what was applied last (the record), what is live, and what is declared.
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
    """AWS isn't as it was applied last; the spec is."""
    SPEC = "spec"
    """AWS is as it was applied last; the spec asks for something else."""
    BOTH = "both"
    """Neither is."""
    FOLLOWS = "follows"
    """It follows from another step, which has to be done before it is known."""
    UNKNOWN = "unknown"
    """Nobody remembers what was applied last."""


@dataclass(frozen=True)
class FieldDifference:
    """One field that isn't as declared: `change.old` is live, `change.new` declared; `applied` where that is neither."""

    change: Change
    origin: Origin
    applied: Value = ABSENT


@dataclass(frozen=True)
class ResourceDrift:
    """One object that isn't as declared. `id` is what AWS knows it by, nothing where it isn't there."""

    step: Step
    id: str
    fields: tuple[FieldDifference, ...]

    @property
    def is_existence_drift(self) -> bool:
        """Whether it is the object's being there that differs, and not a field."""
        return self.step.action not in _IN_PLACE_ACTIONS

    @property
    def origin(self) -> Origin:
        """Why the object as a whole differs: that of its fields, or of its being there."""
        found = {difference.origin for difference in self.fields}
        if len(found) > 1:
            return Origin.BOTH if Origin.DRIFT in found or Origin.BOTH in found else Origin.SPEC
        return found.pop() if found else Origin.SPEC


def find_resource_drifts(
    plan: Plan, records: Collection[Record], seen: Mapping[Key, Observed], policies: Callable[[str], FieldPolicy]
) -> list[ResourceDrift]:
    """Every object that a plan would touch, with what differs and why; `policies` gives a kind's."""
    found = []
    for step in plan.steps:
        live = seen.get(step.node.key) if step.action in _IN_PLACE_ACTIONS else None
        fields = find_field_differences(step, records, live, policies(step.node.key.kind))
        found.append(ResourceDrift(step, live.id if live else "", fields))
    return found


def find_field_differences(
    step: Step, records: Collection[Record], live: Observed | None, policy: FieldPolicy
) -> tuple[FieldDifference, ...]:
    """The changes of a step, each with where it comes from. `live` is what the step's node was found as."""
    record = find_record(records, step.node)
    if live is None or record is None:
        origin = _existence_origin(step, record, live)
        return tuple(FieldDifference(change, origin) for change in step.changes)
    wanted = diff(record.managed_fields, record.fields, step.node.desired, policy)
    drifted = diff(record.managed_fields, live.fields, record.fields, policy)
    return tuple(_attribute_change(change, wanted, drifted) for change in step.changes)


def _existence_origin(step: Step, record: Record | None, live: Observed | None) -> Origin:
    """Of an object that isn't there, or that nobody remembers."""
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
    """Whether two paths are the same, or one holds the other."""
    first, second = f"{one.path}.", f"{other.path}."
    return first.startswith(second) or second.startswith(first)


def format_drift(differences: Iterable[FieldDifference]) -> str:
    """What drifted, in one line: each field with what was applied and what it is now; of a list, what came and what went."""
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
        # Where something came and something went, the order may matter.
        if bool(came) is not bool(went):
            return ", ".join(came or went)
    return f"{format_value(applied)} → {format_value(live)}"


def format_value(value: Value) -> str:
    """A value on one line, as people read it."""
    if isinstance(value, Sentinel):
        return value.value
    if isinstance(value, Blob):
        return f"sha256:{value.sha256[:12]} ({value.size:,} bytes)"
    text = json.dumps(to_json_value(value), ensure_ascii=False)
    return text if len(text) <= _MAX_WIDTH else f"{text[: _MAX_WIDTH - 1]}…"
