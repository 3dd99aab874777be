"""A saved plan covers equal steps, values that have become known, and steps that complete it, and nothing else."""

from __future__ import annotations

from typing import Any, Literal

import pytest

from controller.planning.plan_coverage import find_uncovered
from controller.planning.plan_document import NOT_KNOWN, NOT_THERE, PlannedField, PlannedStep

Name = Literal["create", "update", "revise", "replace", "adopt", "delete"]


def step(action: Name, kind: str = "ecs/service", held: Literal["", "Drifted"] = "", **changes: Any) -> PlannedStep:
    return PlannedStep(
        environment="default",
        spec="ModelService m",
        resource=kind,
        name="m",
        action=action,
        changes=tuple(
            PlannedField(path=path.replace("__", "."), old=NOT_THERE, new=new) for path, new in changes.items()
        ),
        forces=(),
        why="",
        later=False,
        held=held,
    )


RULES = [{"port": 80, "source": NOT_KNOWN}, {"port": 81, "source": "sg-2"}]
CONTAINERS = [{"name": "server", "cpu": 1, "image": NOT_KNOWN}]
COVERED = {
    "the same": (step("update", cpu=1), step("update", cpu=1)),
    "a value that has become known": (step("create", cpu=NOT_KNOWN), step("create", cpu=1)),
    "known deep inside": (
        step("create", ingress=RULES),
        step("create", ingress=[RULES[1], {"port": 80, "source": "x"}]),
    ),
    "an object that was created partly": (step("create", cpu=1, tags={"team": "a"}), step("update", tags__team="a")),
    "part of something unknown": (step("replace", tags=NOT_KNOWN), step("update", tags__team="a")),
    "a named element": (step("create", containers=CONTAINERS), step("update", containers__server__image="b")),
    "a created object that was journaled": (step("create", cpu=1), step("replace", cpu=1)),
    "the predecessor": (step("replace", cpu=1), step("delete")),
    "the same deletion": (step("delete", route=NOT_THERE), step("delete", route=NOT_THERE)),
    "fewer fields": (step("update", cpu=1, memory=2), step("update", memory=2)),
    "a field set as a whole": (step("revise", tags__team="a"), step("revise", tags={"team": "a"})),
    "empty for absent": (step("create", tags={}), step("update", tags=NOT_THERE)),
}
UNCOVERED = {
    "another value": (step("update", cpu=1), step("update", cpu=2), "update ecs/service m: cpu"),
    "another field": (step("update", cpu=1), step("update", memory=1), "update ecs/service m: memory"),
    "another object": (step("update", cpu=1), step("update", "ecs/cluster", cpu=1), "update ecs/cluster m (cpu)"),
    "another action": (step("update", cpu=1), step("create", cpu=1), "create ecs/service m"),
    "a deletion of an object to keep": (step("update", cpu=1), step("delete"), "delete ecs/service m"),
    "a held step": (step("update", held="Drifted", cpu=1), step("update", cpu=1), "update ecs/service m (cpu)"),
    "deep inside": (
        step("create", ingress=RULES),
        step("create", ingress=[RULES[1] | {"source": "world"}, {"port": 80, "source": "x"}]),
        "create ecs/service m: ingress",
    ),
    "one more element": (
        step("create", ingress=RULES[1:]),
        step("update", ingress=RULES),
        "update ecs/service m: ingress",
    ),
    "another element": (
        step("create", containers=CONTAINERS),
        step("update", containers__sidecar__image="b"),
        "update ecs/service m: containers.sidecar.image",
    ),
}


@pytest.mark.parametrize("name", COVERED)
def test_step_toward_the_planned_state_is_covered(name: str) -> None:
    """A step is covered if it equals a planned one, fills in its unknown values, or completes it."""
    planned, current = COVERED[name]
    assert find_uncovered([planned], [current]) == []


@pytest.mark.parametrize("name", UNCOVERED)
def test_uncovered_step_is_named(name: str) -> None:
    """The message names the action and the object, and the field if only that differs."""
    planned, current, message = UNCOVERED[name]
    assert find_uncovered([planned], [current]) == [message]


def test_all_planned_steps_of_an_object_count() -> None:
    """A first step and a later one of the same object cover together."""
    assert (
        find_uncovered([step("update", cpu=1), step("update", image=NOT_KNOWN)], [step("update", cpu=1, image="b")])
        == []
    )
