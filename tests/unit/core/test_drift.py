"""Where a difference comes from, told from what was applied, what is live and what is declared."""

from __future__ import annotations

from typing import Any

import pytest

from controller.core.diff import Change, diff
from controller.core.drift import (
    FieldDifference,
    Origin,
    find_field_differences,
    find_resource_drifts,
    format_drift,
    format_value,
)
from controller.core.field_policy import FieldPolicy
from controller.core.graph import Graph, Node, Observed
from controller.core.plan import MISSING_FROM_AWS, Action, Plan, PlanningInput, Step
from controller.core.planner import make_plan
from controller.core.record import Record
from controller.core.values import ABSENT, UNKNOWN, Blob, Key

OWNER = Key("default", "ModelService", "m")
KEY = Key("default", "test/thing", "m")
IDENTITY = {"name": "m"}
POLICY = FieldPolicy()


def step(desired: dict[str, Any], live: dict[str, Any] | None, applied: dict[str, Any] | None) -> Step:
    node = Node(KEY, IDENTITY, desired)
    return Step(Action.UPDATE, node, OWNER, diff(applied, live or {}, desired, POLICY))


def origins(desired: dict[str, Any], live: dict[str, Any] | None, applied: dict[str, Any] | None) -> dict[str, Origin]:
    records = [] if applied is None else [Record(KEY, IDENTITY, OWNER, applied)]
    seen = None if live is None else Observed(live)
    found = find_field_differences(step(desired, live, applied), records, seen, POLICY)
    return {item.change.path: item.origin for item in found}


@pytest.mark.parametrize(
    ("desired", "live", "applied", "expected"),
    [
        ({"days": 30}, {"days": 1}, {"days": 30}, {"days": Origin.DRIFT}),
        ({"days": 60}, {"days": 30}, {"days": 30}, {"days": Origin.SPEC}),
        ({"days": 60}, {"days": 1}, {"days": 30}, {"days": Origin.BOTH}),
        ({"days": 30}, {"days": 1}, None, {"days": Origin.UNKNOWN}),
        ({"days": 30}, None, {"days": 30}, {"days": Origin.DRIFT}),
        ({"days": 30}, None, None, {"days": Origin.SPEC}),
        ({"image": UNKNOWN}, {"image": "a"}, {"image": "a"}, {"image": Origin.FOLLOWS}),
        ({"image": UNKNOWN}, {"image": "b"}, {"image": "a"}, {"image": Origin.DRIFT}),
        ({}, {"days": 1}, {"days": 1}, {"days": Origin.SPEC}),
        (
            {"a": {"b": 1, "c": 2}},
            {"a": {"b": 9, "c": 3}},
            {"a": {"b": 1, "c": 3}},
            {"a.b": Origin.DRIFT, "a.c": Origin.SPEC},
        ),
        ({"a": {"b": 1}}, {}, {"a": {"b": 1}}, {"a": Origin.DRIFT}),
    ],
)
def test_each_difference_has_an_origin(desired: Any, live: Any, applied: Any, expected: Any) -> None:
    """Drift is what isn't as applied; the spec is what is declared otherwise; both may be.

    Some follows, some is forgotten.
    """
    assert origins(desired, live, applied) == expected


def test_drift_line_has_applied_and_found_values() -> None:
    """One line: each drifted field with what was applied and what it is now; what the spec changed isn't in it."""
    records = [Record(KEY, IDENTITY, OWNER, {"a": 1, "b": "x", "c": True})]
    desired, live = {"a": 1, "b": "y", "c": False}, {"a": 2, "b": "z", "c": True}
    found = find_field_differences(step(desired, live, records[0].fields), records, Observed(live), POLICY)
    assert format_drift(found) == 'a: 1 → 2; b: "x" → "z"'
    assert found[1] == FieldDifference(found[1].change, Origin.BOTH, "x")


@pytest.mark.parametrize(
    ("applied", "live", "line"),
    [
        ([1], [1, 2], "+2"),
        ([{"port": 1}, {"port": 2}], [{"port": 1}], '-{"port": 2}'),
        (["a", "b"], ["a", "c"], '["a", "b"] → ["a", "c"]'),
        (["a", "b"], ["b", "a"], '["a", "b"] → ["b", "a"]'),
    ],
)
def test_list_drift_names_added_and_removed_elements(applied: list[Any], live: list[Any], line: str) -> None:
    """A rule that was added is named alone; where the order may matter, both lists are."""
    change = Change("rules", live, applied)
    assert format_drift([FieldDifference(change, Origin.DRIFT)]) == f"rules: {line}"


def test_values_are_shown_on_one_line() -> None:
    """Long ones are cut, content is shown by its digest, what isn't there by its word."""
    assert format_value(ABSENT) == "(absent)"
    assert format_value(Blob("0f" * 32, 2048, bytes)) == "sha256:0f0f0f0f0f0f (2,048 bytes)"
    assert len(format_value("x" * 500)) == 100


class FakeResourceType:
    """A type, as far as planning knows it."""

    policy, read_only, consequence, superseded_policy = POLICY, False, "", "delete"


def plan_of(record: Record) -> Plan:
    """The plan for one node that isn't there, with what is remembered of it."""
    graph = Graph.build([(OWNER, [Node(KEY, IDENTITY, {"days": 30})])])
    return make_plan(PlanningInput(graph, {"test/thing": FakeResourceType()}, {}, [record]))  # type: ignore[dict-item]


@pytest.mark.parametrize(
    ("record", "why"),
    [
        (Record(KEY, IDENTITY, OWNER, {"days": 30}), MISSING_FROM_AWS),
        (Record(KEY, IDENTITY, OWNER, {"days": 30}, pending={}), ""),
        (Record(KEY, IDENTITY, OWNER, pending={"days": 30}), ""),
    ],
    ids=["deleted by somebody", "being deleted by us", "never made"],
)
def test_deleted_object_is_planned_to_be_created(record: Record, why: str) -> None:
    """A deleted object is planned to be created, and the plan says why; what we were at ourselves is nobody's drift."""
    (planned,) = plan_of(record).steps
    assert (planned.action, planned.why) == (Action.CREATE, why)
    (found,) = find_resource_drifts(plan_of(record), [record], {}, lambda _: POLICY)
    assert (found.origin is Origin.DRIFT) is bool(why)


def test_finished_object_is_not_missing() -> None:
    """A job that failed isn't missed: its next attempt is another one."""
    record = Record(KEY, IDENTITY, OWNER, {"days": 30}, {"finished": True})
    assert [planned.action for planned in plan_of(record).steps] == [Action.REPLACE]
