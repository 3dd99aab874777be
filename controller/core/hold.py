"""Decide whether a spec's policy holds a step. Pure, and shared by the planner and by plan execution."""

from __future__ import annotations

from controller.core.diff import diff
from controller.core.field_policy import FieldPolicy
from controller.core.graph import Node
from controller.core.plan import EffectivePolicy, HoldReason
from controller.core.record import Record
from controller.core.values import is_known


def find_hold_reason(
    policy: EffectivePolicy, record: Record | None, node: Node, field_policy: FieldPolicy, *, exists: bool
) -> HoldReason:
    """Return the reason for which a policy holds a node's step; empty if the step may be executed.

    A suspended or too expensive spec holds every step. A policy that doesn't correct drift holds a step that would only
    restore what was last applied: `record` shows that the object was applied, and the spec asks for nothing else since.
    `node` is resolved, `exists` says whether AWS has the object, `field_policy` belongs to its resource type.
    """
    if policy.held_reason:
        return policy.held_reason
    if policy.correct_drift or record is None or not is_known(node.desired):
        return ""
    if not (exists or record.should_exist):
        return ""
    spec_changed = diff(record.managed_fields, record.fields, node.desired, field_policy)
    return "" if spec_changed else "Drifted"
