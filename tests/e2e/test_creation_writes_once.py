"""A creation writes each AWS object once: what the benchmark of the reconciler holds a thousand specs to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import pytest

from benchmarks.reconcile.write_counter import COMPLETED, FILLED, OPENED, WriteCounter
from controller.aws.calls import AwsCall, Hook
from controller.engine.run_result import exit_code
from controller.errors import AnswerLostError, MoorageError
from controller.resources.base import ResourceContext, discover_resources
from tests.conftest import EmbeddedAws
from tests.demo import Demo, EmbeddedClients, Model


class OperationCounter(Hook):
    """How often each operation that writes was called."""

    def __init__(self) -> None:
        self.names: Counter[str] = Counter()

    def before(self, call: AwsCall) -> None:
        if call.kind == "write":
            self.names[call.name] += 1


class CompletedCalls(Hook):
    """Shows another hook what was done, or may have been.

    What AWS refused, in bad weather time and again, wrote nothing.
    """

    def __init__(self, hook: Hook) -> None:
        self._hook = hook

    def after(self, call: AwsCall, answer: Mapping[str, Any] | MoorageError) -> None:
        if isinstance(answer, Mapping | AnswerLostError):
            self._hook.before(call)


def test_a_creation_writes_each_object_once(
    idle_aws: EmbeddedAws, resource_context: ResourceContext, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Two models from nothing: no object is written twice, each upload that is opened is completed, and whatever else
    is written is an object; once all is there, nothing is written any more.
    """
    idle_aws.call_admin_endpoint("reset", "POST")
    writes, operations = WriteCounter(), OperationCounter()
    models = (Model(name="one"), Model(name="two"))
    demo = Demo(
        EmbeddedClients(idle_aws.endpoint),
        discover_resources(resource_context),
        tmp_path_factory.mktemp("specs"),
        models=models,
        hooks=(CompletedCalls(writes), CompletedCalls(operations)),
    )
    assert exit_code(demo.reconcile_until_settled().statuses) == 0
    objects, repeated = writes.take()
    assert repeated == {}
    assert operations.names[OPENED] == operations.names[COMPLETED] > 0
    assert objects == operations.names.total() - operations.names[OPENED] - operations.names[FILLED]
    operations.names.clear()
    assert exit_code(demo.reconcile_until_settled().statuses) == 0
    assert operations.names == {}
