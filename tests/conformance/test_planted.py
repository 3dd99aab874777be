"""Each conformance check, shown a type with the mistake that it is there to find."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from controller.aws import Aws
from controller.core.graph import Node, Observed, Target
from controller.core.policy import FieldPolicy
from controller.core.status import Waiting
from controller.core.values import Key, Ref
from controller.core.wanted import Wanted
from controller.resources.base import Resource, Workshop
from controller.resources.logs_log_group import LogGroup
from tests.conformance.checks import (
    CHECKS,
    Check,
    calls_what_it_says,
    can_change,
    expands_purely,
    goes_for_good,
    has_no_idle_policy,
    is_created,
    keeps_to_limits,
    looks_without_touching,
    needs_what_it_says,
    plans_exactly,
    refers_to_what_there_is,
    refuses_a_strangers,
    settles,
)
from tests.conformance.life import Evidence, Turn, live
from tests.conformance.scene import Scene
from tests.conftest import EmbeddedAws
from tests.demo import Clients, Demo, Model

KIND = "logs/log-group"


def _relabel(demo: Demo) -> None:
    demo.models = (replace(demo.models[0], labels="{team: risk}"),)


def _unlabel(demo: Demo) -> None:
    demo.models = (replace(demo.models[0], labels="{}"),)


def _by_hand(demo: Demo) -> None:
    for record in (made for made in demo.store.records(demo.environment) if made.outputs):
        demo.door().write("logs", "put_retention_policy", logGroupName=record.outputs["name"], retentionInDays=1)


TURNS = (
    Turn("another label", _relabel, tag="team"),
    Turn("no label", _unlabel, tag="team"),
    Turn("by hand", _by_hand, {KIND: frozenset({"retention"})}),
)


class _Altered(LogGroup):
    """A log group whose nodes are a little different."""

    def expand(self, want: Wanted) -> Iterable[Node]:
        return (self.altered(node, want) for node in super().expand(want))

    def altered(self, node: Node, want: Wanted) -> Node:
        return node


class NeverContent(_Altered):
    """Asks for what AWS will not keep."""

    def altered(self, node: Node, want: Wanted) -> Node:
        return replace(node, desired={**node.desired, "colour": "blue"})


class Phantom(LogGroup):
    """Sees something where nothing is."""

    def observe(self, aws: Aws, targets: Sequence[Target]) -> dict[Key, Observed]:
        nothing = Observed({}, {"name": "phantom", "arn": "arn:aws:logs:us-east-1:123456789012:log-group:phantom"})
        return {target.key: nothing for target in targets} | super().observe(aws, targets)


class Blind(LogGroup):
    """Doesn't see its retention."""

    policy = FieldPolicy(ignore=frozenset({"retention"}))


class Careless(LogGroup):
    """Ignores all that can change."""

    policy = FieldPolicy(ignore=frozenset({"retention", "tags"}))


class Meddling(LogGroup):
    """Repairs while it looks."""

    def observe(self, aws: Aws, targets: Sequence[Target]) -> dict[Key, Observed]:
        found = super().observe(aws, targets)
        for seen in found.values():
            aws.write("logs", "put_retention_policy", logGroupName=seen.outputs["name"], retentionInDays=30)
        return found


class Secretive(LogGroup):
    """Keeps a call to itself."""

    permissions = {name: needs for name, needs in LogGroup.permissions.items() if name != "logs.put_retention_policy"}


class Greedy(LogGroup):
    """Asks for more than it uses."""

    permissions = {**LogGroup.permissions, "logs.delete_log_stream": frozenset({"logs:DeleteLogStream"})}


class Moody(_Altered):
    """Wants something else each time it is asked."""

    def __init__(self, workshop: Workshop) -> None:
        super().__init__(workshop)
        self._moods = count()

    def altered(self, node: Node, want: Wanted) -> Node:
        return replace(node, reads=(), desired={**node.desired, "retention": (1, 3, 5, 7)[next(self._moods) % 4]})


class Misled(LogGroup):
    """Refers to an output that nobody gives."""

    def expand(self, want: Wanted) -> Iterable[Node]:
        for node in super().expand(want):
            yield node
            tags = {**node.desired["tags"], "colour": Ref(node.key, "colour")}
            identity = {"name": node.identity["name"] + "-second"}
            yield replace(node, key=want.own(self.kind, "second"), identity=identity, desired={"tags": tags})


class Hoarder(LogGroup):
    """Has a rule for a field that it hasn't."""

    policy = FieldPolicy(sets=frozenset({"colours"}))


class Longwinded(_Altered):
    """Makes names that don't fit."""

    def altered(self, node: Node, want: Wanted) -> Node:
        return replace(node, identity={"name": node.identity["name"] + "x" * 512})


class Trusting(_Altered):
    """Sees in every group's tags its own owner."""

    def observe(self, aws: Aws, targets: Sequence[Target]) -> dict[Key, Observed]:
        return {key: _ours(seen) for key, seen in super().observe(aws, targets).items()}


def _ours(seen: Observed) -> Observed:
    tags: Mapping[str, Any] = {**seen.fields["tags"], "moorage:owner": "ModelService/housing-model"}
    return replace(seen, fields={**seen.fields, "tags": tags})


class Clinging(LogGroup):
    """Says that it is gone and leaves it there."""

    def delete(self, aws: Aws, target: Target) -> Waiting | None:
        return None


class Brittle(LogGroup):
    """Fails where there is nothing to delete."""

    def delete(self, aws: Aws, target: Target) -> Waiting | None:
        aws.write("logs", "delete_log_group", logGroupName=target.identity["name"])
        return None


PLANTED: tuple[tuple[type[Resource], Check], ...] = (
    (NeverContent, settles),
    (Misled, settles),
    (Phantom, is_created),
    (Blind, plans_exactly),
    (Careless, can_change),
    (Meddling, looks_without_touching),
    (Secretive, calls_what_it_says),
    (Greedy, needs_what_it_says),
    (Moody, expands_purely),
    (Misled, refers_to_what_there_is),
    (Hoarder, has_no_idle_policy),
    (Longwinded, keeps_to_limits),
    (Trusting, refuses_a_strangers),
    (Clinging, goes_for_good),
    (Brittle, goes_for_good),
)


def lived(kind: type[Resource], aws: EmbeddedAws, directory: Path) -> Evidence:
    """The life of one type on its own."""
    aws.admin("reset", "POST")
    clients = Clients(aws.endpoint)
    scene = Scene({KIND: kind(Workshop(directory))}, clients, {KIND: kind(Workshop(directory, many=1))})
    demo = Demo(clients, scene.registry, directory, models=(Model(),), hooks=(scene,), patience=3)
    return live(demo, scene, TURNS, {})


@pytest.mark.parametrize(("kind", "check"), PLANTED, ids=lambda item: item.__name__)
def test_a_planted_mistake_is_found(kind: type[Resource], check: Check, idle_aws: EmbeddedAws, tmp_path: Path) -> None:
    """The check finds fault with the type that was made to be at fault."""
    assert check(KIND, lived(kind, idle_aws, tmp_path), TURNS)


def test_without_a_mistake_nothing_is_found(idle_aws: EmbeddedAws, tmp_path: Path) -> None:
    """The very same life of the real type passes every check: what was found above was the planted mistake."""
    told = lived(LogGroup, idle_aws, tmp_path)
    assert {check.__name__: check(KIND, told, TURNS) for check in CHECKS if check(KIND, told, TURNS)} == {}


def test_every_check_has_its_planted_mistake() -> None:
    """A check that can't fail is a defect."""
    assert {check for _, check in PLANTED} == set(CHECKS)
