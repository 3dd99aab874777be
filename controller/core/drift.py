"""Where a difference comes from: somebody changed AWS, or the spec was changed. Pure.

Told from three sides: what was applied last (the record), what is live, and what is declared.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from controller.core.diff import Change, diff
from controller.core.graph import Observed
from controller.core.plan import Action, Plan, Step, record_of
from controller.core.policy import FieldPolicy
from controller.core.record import Record
from controller.core.values import ABSENT, Blob, Key, Special, Value, is_known, plain

_WIDEST = 100
_IN_PLACE = (Action.UPDATE, Action.REVISE, Action.ADOPT)


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
class Difference:
    """One field that isn't as declared: `change.old` is live, `change.new` declared; `applied` where that is neither."""

    change: Change
    origin: Origin
    applied: Value = ABSENT


@dataclass(frozen=True)
class Departure:
    """One object that isn't as declared. `id` is what AWS knows it by, nothing where it isn't there."""

    step: Step
    id: str
    fields: tuple[Difference, ...]

    @property
    def whole(self) -> bool:
        """Whether it is the object's being there that differs, and not a field."""
        return self.step.action not in _IN_PLACE

    @property
    def origin(self) -> Origin:
        """Why the object as a whole differs: that of its fields, or of its being there."""
        found = {difference.origin for difference in self.fields}
        if len(found) > 1:
            return Origin.BOTH if Origin.DRIFT in found or Origin.BOTH in found else Origin.SPEC
        return found.pop() if found else Origin.SPEC


def departures(
    plan: Plan, records: Collection[Record], seen: Mapping[Key, Observed], policies: Callable[[str], FieldPolicy]
) -> list[Departure]:
    """Every object that a plan would touch, with what differs and why; `policies` gives a kind's."""
    found = []
    for step in plan.steps:
        live = seen.get(step.node.key) if step.action in _IN_PLACE else None
        fields = differences(step, records, live, policies(step.node.key.kind))
        found.append(Departure(step, live.id if live else "", fields))
    return found


def differences(
    step: Step, records: Collection[Record], live: Observed | None, policy: FieldPolicy
) -> tuple[Difference, ...]:
    """The changes of a step, each with where it comes from. `live` is what the step's node was found as."""
    record = record_of(records, step.node)
    if live is None or record is None:
        origin = _of_a_whole(step, record, live)
        return tuple(Difference(change, origin) for change in step.changes)
    wanted = diff(record.managed, record.fields, step.node.desired, policy)
    drifted = diff(record.managed, live.fields, record.fields, policy)
    return tuple(_one(change, wanted, drifted) for change in step.changes)


def _of_a_whole(step: Step, record: Record | None, live: Observed | None) -> Origin:
    """Of an object that isn't there, or that nobody remembers."""
    if live is None and record is not None and record.expected:
        return Origin.DRIFT
    if live is not None and step.action is not Action.ADOPT:
        return Origin.UNKNOWN
    follows = step.action is not Action.CREATE and not is_known(step.node.identity)
    return Origin.FOLLOWS if follows else Origin.SPEC


def _one(change: Change, wanted: Iterable[Change], drifted: Iterable[Change]) -> Difference:
    spec = next((other for other in wanted if _concern_one_field(change, other)), None)
    drift = next((other for other in drifted if _concern_one_field(change, other)), None)
    if drift is not None and spec is not None:
        known = is_known(change.new)
        return Difference(change, Origin.BOTH if known else Origin.DRIFT, drift.new)
    if drift is not None:
        return Difference(change, Origin.DRIFT)
    return Difference(change, Origin.SPEC if is_known(change.new) else Origin.FOLLOWS)


def _concern_one_field(one: Change, other: Change) -> bool:
    """Whether two paths are the same, or one holds the other."""
    first, second = f"{one.path}.", f"{other.path}."
    return first.startswith(second) or second.startswith(first)


def told(found: Iterable[Difference]) -> str:
    """What drifted, in one line: each field with what was applied and what it is now; of a list, what came and what went."""
    drifted = [difference for difference in found if difference.origin in (Origin.DRIFT, Origin.BOTH)]
    parts = [f"{item.change.path}: {_turn(_applied(item), item.change.old)}" for item in drifted]
    more = f" and {len(parts) - 4} more" if len(parts) > 4 else ""
    return "; ".join(parts[:4]) + more


def _applied(item: Difference) -> Value:
    return item.change.new if item.origin is Origin.DRIFT and is_known(item.change.new) else item.applied


def _turn(applied: Value, live: Value) -> str:
    if isinstance(applied, list) and isinstance(live, list):
        came = [f"+{shown(member)}" for member in live if member not in applied]
        went = [f"-{shown(member)}" for member in applied if member not in live]
        # Where something came and something went, the order may matter.
        if bool(came) is not bool(went):
            return ", ".join(came or went)
    return f"{shown(applied)} → {shown(live)}"


def shown(value: Value) -> str:
    """A value on one line, as people read it."""
    if isinstance(value, Special):
        return value.value
    if isinstance(value, Blob):
        return f"sha256:{value.sha256[:12]} ({value.size:,} bytes)"
    text = json.dumps(plain(value), ensure_ascii=False)
    return text if len(text) <= _WIDEST else f"{text[: _WIDEST - 1]}…"
