"""When a service is ready: success is identity. No AWS here, only what was seen and what was intended."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from controller.core.graph import Node, Observed
from controller.core.status import Failed, Ready, Verdict, Waiting
from controller.core.values import Key
from controller.resources.base import ResourceContext
from controller.resources.ecs_service import EcsService

OLD, NEW = "arn:aws:ecs:r:a:task-definition/m:1", "arn:aws:ecs:r:a:task-definition/m:2"
PIN = f"sha256:{'a' * 64}"


def deployment(definition: str = NEW, state: str = "COMPLETED", **counts: Any) -> dict[str, Any]:
    base = {"id": "d", "reason": "because", "running": 1, "pending": 0, "failed": 0}
    return {**base, "taskDefinition": definition, "state": state, **counts}


def task(definition: str = NEW, health: str = "HEALTHY", pulled: str = PIN) -> dict[str, Any]:
    images = {"server": [f"registry/repository@{PIN}", pulled]}
    return {"id": "t", "taskDefinition": definition, "health": health, "images": images}


def verdict(primary: dict[str, Any], *tasks: Any, desired_count: int = 1, failed: Any = (), event: str = "") -> Verdict:
    node = Node(
        Key("e", "ecs/service", "m"),
        {},
        {"taskDefinition": NEW, "deploymentConfiguration": {}, "desiredCount": desired_count},
    )
    seen = {"deployment": primary, "failed": list(failed), "tasks": list(tasks), "event": event}
    return EcsService(ResourceContext(Path())).ready(node, Observed({}, seen))


def test_intended_healthy_revision_is_ready() -> None:
    """One task was wanted; it runs the intended revision and image, and its check passes."""
    assert verdict(deployment(), task()) == Ready()


def test_zero_tasks_is_ready_with_a_reason() -> None:
    """None were wanted, and none run."""
    assert verdict(deployment(running=0), desired_count=0) == Ready("ScaledToZero", "no task runs, as declared")


@pytest.mark.parametrize(
    ("primary", "tasks", "reason"),
    [
        (deployment(OLD), [task(OLD)], "Deploying"),
        (deployment(state="IN_PROGRESS"), [task()], "RollingOut"),
        (deployment(running=0, pending=1), [], "RollingOut"),
        (deployment(running=2), [task(), task()], "RollingOut"),
        (deployment(), [task(OLD)], "Unhealthy"),
        (deployment(), [task(health="UNKNOWN")], "Unhealthy"),
        (deployment(), [task(health="UNHEALTHY")], "Unhealthy"),
        (deployment(), [task(pulled=f"sha256:{'b' * 64}")], "Unhealthy"),
        (deployment(), [task(pulled="")], "Unhealthy"),
        (deployment(), [], "Unhealthy"),
    ],
)
def test_a_stable_service_that_is_not_the_intended_one_is_not_ready(
    primary: dict[str, Any], tasks: list[Any], reason: str
) -> None:
    """Another revision, another image, a check that hasn't passed, a count that is off: each is waited for,
    and named.
    """
    found = verdict(primary, *tasks)
    assert isinstance(found, Waiting)
    assert found.reason == reason


def test_waiting_message_has_counts_and_ecs_event() -> None:
    """How many of how many, what fails, and the newest event."""
    found = verdict(
        deployment(state="IN_PROGRESS", running=1, pending=2, failed=3), desired_count=4, event="unable to place"
    )
    assert found.message == "1 of 4 tasks run m:2, 2 pending, 3 failed; unable to place"


def test_a_rollback_of_the_intended_is_a_failure() -> None:
    """AWS went back: the reason is AWS's. A rollback of something else is none of our business."""
    assert verdict(deployment(OLD), failed=[deployment(NEW, "FAILED")]) == Failed("RolledBack", "because")
    assert isinstance(verdict(deployment(OLD), failed=[deployment("other", "FAILED")]), Waiting)


def test_a_failed_rollout_without_a_way_back_is_a_failure() -> None:
    """The intended revision is the primary one, and has failed."""
    failed = deployment(state="FAILED")
    assert verdict(failed, failed=[failed], event="no capacity") == Failed("RolloutFailed", "because no capacity")


def test_an_old_failure_of_the_same_revision_does_not_count_once_it_runs() -> None:
    """A later deployment of the same revision succeeded while the failed one still drains."""
    assert verdict(deployment(), task(), failed=[deployment(NEW, "FAILED")]) == Ready()
