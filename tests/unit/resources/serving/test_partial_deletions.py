"""AWS may leave one of a call's objects in the middle of a good answer: then it isn't gone, and is tried again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import pytest

from controller.aws import AwsClient
from controller.aws.batch_failures import describe_failures
from controller.core.graph import Target
from controller.core.status import Waiting
from controller.core.values import Key
from controller.resources.base import ResourceContext, discover_resources

REGISTRY = discover_resources(ResourceContext(Path()))
REVISION = "arn:aws:ecs:us-east-1:123456789012:task-definition/m:3"
ACTIVE = "The specified task definition is still in ACTIVE status. Please deregister the target and try again."
INDEXED = {
    "failureCode": "ImageReferencedByManifestList",
    "failureReason": "Requested image referenced by a manifest list",
}
TARGETS = {
    "ecs/task-definition": {"family": "m", "revision": 3},
    "ecr/image": {"repository": "r", "version": 1, "model": "0", "server": "1", "base": "2", "architecture": "amd64"},
    "ecr/base-image": {
        "repository": "r",
        "base": "ecr-public/docker/library/python:3.11-slim",
        "architecture": "amd64",
    },
}


@dataclass
class FakeAccount:
    """A door onto one revision and one image, whose removal AWS leaves undone for a while."""

    failures: list[Mapping[str, Any]]
    write_calls: list[str] = field(default_factory=list)

    def read(self, service: str, operation: str, **_: Any) -> Mapping[str, Any]:
        if service == "ecs":
            return {"taskDefinition": {"status": "ACTIVE"}}
        assert operation == "describe_images"
        return {"imageDetails": [{"imageDigest": "sha256:0", "imageTags": ["a", "b"]}]}

    def write(self, service: str, operation: str, **_: Any) -> Mapping[str, Any]:
        self.write_calls.append(operation)
        return {} if operation == "deregister_task_definition" else {"failures": self.failures}


def delete_from(kind: str, failures: list[Mapping[str, Any]]) -> Waiting | None:
    target = Target(Key("default", kind, "m"), TARGETS[kind])
    return REGISTRY[kind].delete(cast("AwsClient", FakeAccount(failures)), target)


def test_active_revision_is_not_reported_deleted() -> None:
    """ECS says it of one that it has deregistered a moment ago; told by its ARN, it is tried again."""
    waiting = delete_from("ecs/task-definition", [{"arn": REVISION, "reason": ACTIVE}])
    assert waiting == Waiting("NotDeleted", f"{REVISION}: {ACTIVE}", failing=True)


@pytest.mark.parametrize("kind", ["ecr/image", "ecr/base-image"])
def test_image_referenced_by_an_index_is_not_reported_deleted(kind: str) -> None:
    """ECR leaves it, and says why."""
    waiting = delete_from(kind, [{"imageId": {"imageTag": "t"}, **INDEXED}])
    assert waiting == Waiting("NotDeleted", f"t: {INDEXED['failureReason']}", failing=True)


@pytest.mark.parametrize("kind", TARGETS)
def test_successful_deletion_is_reported(kind: str) -> None:
    """An answer without failures is the end of it; so is one that finds nothing to remove any more."""
    assert delete_from(kind, []) is None
    assert delete_from("ecr/image", [{"imageId": {"imageTag": "t"}, "failureCode": "ImageNotFound"}]) is None


def test_every_failure_is_reported() -> None:
    """By what AWS knows each object by, with AWS's own words, or its code where there are none."""
    failures = [{"arn": REVISION, "reason": "MISSING"}, {"imageId": {"imageDigest": "sha256:0"}, "failureCode": "X"}]
    assert describe_failures({"failures": failures}) == f"{REVISION}: MISSING; sha256:0: X"
    assert describe_failures({}) == ""
