"""Each conformance check, shown a type with the mistake that it is there to find."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from controller.aws import AwsClient
from controller.core.field_policy import FieldPolicy
from controller.core.graph import Node, Observed, Target
from controller.core.spec_context import SpecContext
from controller.core.status import Waiting
from controller.core.values import Key, Ref
from controller.resources.base import Resource, ResourceContext
from controller.resources.logs_log_group import LogGroup
from tests.conformance.call_attribution import CallAttribution
from tests.conformance.resource_lifecycle import LifecycleEvidence, UpdateCase, run_lifecycle
from tests.conformance.type_checks import (
    CHECKS,
    Check,
    can_change,
    converges,
    declares_every_call,
    deletes_idempotently,
    expands_deterministically,
    has_no_unused_policy,
    is_created,
    observes_without_writing,
    plans_exactly,
    refers_to_existing_outputs,
    refuses_foreign_objects,
    respects_api_constraints,
    uses_every_permission,
)
from tests.conftest import EmbeddedAws
from tests.demo import Demo, EmbeddedClients, Model

KIND = "logs/log-group"


def _relabel(demo: Demo) -> None:
    demo.models = (replace(demo.models[0], labels="{team: risk}"),)


def _unlabel(demo: Demo) -> None:
    demo.models = (replace(demo.models[0], labels="{}"),)


def _edit_manually(demo: Demo) -> None:
    for record in (made for made in demo.store.list_records(demo.environment) if made.outputs):
        demo.aws_client().write("logs", "put_retention_policy", logGroupName=record.outputs["name"], retentionInDays=1)


UPDATE_CASES = (
    UpdateCase("another label", _relabel, tag="team"),
    UpdateCase("no label", _unlabel, tag="team"),
    UpdateCase("by hand", _edit_manually, {KIND: frozenset({"retention"})}),
)


class _Altered(LogGroup):
    """A log group whose nodes are a little different."""

    def expand(self, context: SpecContext) -> Iterable[Node]:
        return (self.altered(node, context) for node in super().expand(context))

    def altered(self, node: Node, context: SpecContext) -> Node:
        return node


class NeverConverges(_Altered):
    """Asks for what AWS will not keep."""

    def altered(self, node: Node, context: SpecContext) -> Node:
        return replace(node, desired={**node.desired, "colour": "blue"})


class ReportsAbsentAsPresent(LogGroup):
    """Sees something where nothing is."""

    def observe(self, aws: AwsClient, targets: Sequence[Target]) -> dict[Key, Observed]:
        nothing = Observed({}, {"name": "phantom", "arn": "arn:aws:logs:us-east-1:123456789012:log-group:phantom"})
        return {target.key: nothing for target in targets} | super().observe(aws, targets)


class IgnoresRetention(LogGroup):
    """Doesn't see its retention."""

    policy = FieldPolicy(ignore=frozenset({"retention"}))


class IgnoresAllChanges(LogGroup):
    """Ignores all that can change."""

    policy = FieldPolicy(ignore=frozenset({"retention", "tags"}))


class WritesWhileObserving(LogGroup):
    """Repairs while it looks."""

    def observe(self, aws: AwsClient, targets: Sequence[Target]) -> dict[Key, Observed]:
        found = super().observe(aws, targets)
        for seen in found.values():
            aws.write("logs", "put_retention_policy", logGroupName=seen.outputs["name"], retentionInDays=30)
        return found


class OmitsPermission(LogGroup):
    """Keeps a call to itself."""

    permissions = {name: needs for name, needs in LogGroup.permissions.items() if name != "logs.put_retention_policy"}


class DeclaresUnusedPermission(LogGroup):
    """Asks for more than it uses."""

    permissions = {**LogGroup.permissions, "logs.delete_log_stream": frozenset({"logs:DeleteLogStream"})}


class ExpandsNondeterministically(_Altered):
    """Wants something else each time it is asked."""

    def __init__(self, workshop: ResourceContext) -> None:
        super().__init__(workshop)
        self._moods = count()

    def altered(self, node: Node, context: SpecContext) -> Node:
        return replace(node, reads=(), desired={**node.desired, "retention": (1, 3, 5, 7)[next(self._moods) % 4]})


class RefersToUnknownOutput(LogGroup):
    """Refers to an output that nobody gives."""

    def expand(self, context: SpecContext) -> Iterable[Node]:
        for node in super().expand(context):
            yield node
            tags = {**node.desired["tags"], "colour": Ref(node.key, "colour")}
            identity = {"name": node.identity["name"] + "-second"}
            yield replace(node, key=context.own_key(self.kind, "second"), identity=identity, desired={"tags": tags})


class HasUnusedPolicy(LogGroup):
    """Has a rule for a field that it hasn't."""

    policy = FieldPolicy(sets=frozenset({"colours"}))


class ExceedsNameLimit(_Altered):
    """Makes names that don't fit."""

    def altered(self, node: Node, context: SpecContext) -> Node:
        return replace(node, identity={"name": node.identity["name"] + "x" * 512})


class ClaimsForeignObjects(_Altered):
    """Sees in every group's tags its own owner."""

    def observe(self, aws: AwsClient, targets: Sequence[Target]) -> dict[Key, Observed]:
        return {key: _ours(seen) for key, seen in super().observe(aws, targets).items()}


def _ours(seen: Observed) -> Observed:
    tags: Mapping[str, Any] = {**seen.fields["tags"], "moorage:owner": "ModelService/housing-model"}
    return replace(seen, fields={**seen.fields, "tags": tags})


class ReportsDeletedTooEarly(LogGroup):
    """Says that it is gone and leaves it there."""

    def delete(self, aws: AwsClient, target: Target) -> Waiting | None:
        return None


class FailsOnSecondDelete(LogGroup):
    """Fails where there is nothing to delete."""

    def delete(self, aws: AwsClient, target: Target) -> Waiting | None:
        aws.write("logs", "delete_log_group", logGroupName=target.identity["name"])
        return None


PLANTED_DEFECTS: tuple[tuple[type[Resource], Check], ...] = (
    (NeverConverges, converges),
    (RefersToUnknownOutput, converges),
    (ReportsAbsentAsPresent, is_created),
    (IgnoresRetention, plans_exactly),
    (IgnoresAllChanges, can_change),
    (WritesWhileObserving, observes_without_writing),
    (OmitsPermission, declares_every_call),
    (DeclaresUnusedPermission, uses_every_permission),
    (ExpandsNondeterministically, expands_deterministically),
    (RefersToUnknownOutput, refers_to_existing_outputs),
    (HasUnusedPolicy, has_no_unused_policy),
    (ExceedsNameLimit, respects_api_constraints),
    (ClaimsForeignObjects, refuses_foreign_objects),
    (ReportsDeletedTooEarly, deletes_idempotently),
    (FailsOnSecondDelete, deletes_idempotently),
)


def run_single_type_lifecycle(kind: type[Resource], aws: EmbeddedAws, directory: Path) -> LifecycleEvidence:
    """The life of one type on its own."""
    aws.call_admin_endpoint("reset", "POST")
    clients = EmbeddedClients(aws.endpoint)
    scene = CallAttribution(
        {KIND: kind(ResourceContext(directory))}, clients, {KIND: kind(ResourceContext(directory, list_threshold=1))}
    )
    demo = Demo(clients, scene.registry, directory, models=(Model(),), hooks=(scene,), patience=3)
    return run_lifecycle(demo, scene, UPDATE_CASES, {})


@pytest.mark.parametrize(("kind", "check"), PLANTED_DEFECTS, ids=lambda item: item.__name__)
def test_planted_defect_is_detected(kind: type[Resource], check: Check, idle_aws: EmbeddedAws, tmp_path: Path) -> None:
    """The check finds fault with the type that was made to be at fault."""
    assert check(KIND, run_single_type_lifecycle(kind, idle_aws, tmp_path), UPDATE_CASES)


def test_unaltered_type_passes_every_check(idle_aws: EmbeddedAws, tmp_path: Path) -> None:
    """The very same life of the real type passes every check: what was found above was the planted mistake."""
    reported = run_single_type_lifecycle(LogGroup, idle_aws, tmp_path)
    assert {
        check.__name__: check(KIND, reported, UPDATE_CASES) for check in CHECKS if check(KIND, reported, UPDATE_CASES)
    } == {}


def test_every_check_has_a_planted_defect() -> None:
    """A check that can't fail is a defect."""
    assert {check for _, check in PLANTED_DEFECTS} == set(CHECKS)
