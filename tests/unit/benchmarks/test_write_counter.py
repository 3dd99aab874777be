"""A write that is made twice is found out, whatever it is about; the parts of an upload are one blob."""

from __future__ import annotations

from typing import Any

from benchmarks.reconcile.write_counter import COMPLETED, FILLED, OPENED, WriteCounter
from controller.aws.calls import AwsCall


def record_write(hook: WriteCounter, name: str, **params: Any) -> None:
    service, operation = name.split(".")
    hook.before(AwsCall("write", service, operation, params))


def test_second_write_of_an_object_is_reported() -> None:
    """Two roles are two objects.

    The second creation of one of them is told by its name, once: then counting begins anew.
    """
    hook = WriteCounter()
    for role in ("a", "b", "a"):
        record_write(hook, "iam.create_role", RoleName=role)
    assert hook.take() == (2, {"iam.create_role a": 2})
    assert hook.take() == (0, {})


def test_a_blob_is_one_object_of_its_repository() -> None:
    """Opened, filled in two parts and completed: one object. The same digest in another repository is another one."""
    hook = WriteCounter()
    for repository in ("one", "two"):
        record_write(hook, OPENED, repositoryName=repository)
        for first in (0, 5):
            record_write(hook, FILLED, repositoryName=repository, partFirstByte=first)
        record_write(hook, COMPLETED, repositoryName=repository, layerDigests=["sha256:1"])
    assert hook.take() == (2, {})
    record_write(hook, COMPLETED, repositoryName="one", layerDigests=["sha256:1"])
    record_write(hook, COMPLETED, repositoryName="one", layerDigests=["sha256:1"])
    assert len(hook.take()[1]) == 1


def test_unlisted_operations_are_reported_from_the_second_call() -> None:
    """An operation that nobody named: two objects of it can't be told apart, so that it is looked at by a person."""
    hook = WriteCounter()
    record_write(hook, "ecs.tag_resource", resourceArn="one")
    record_write(hook, "ecs.tag_resource", resourceArn="two")
    assert hook.take() == (1, {"ecs.tag_resource": 2})
