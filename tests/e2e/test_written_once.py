"""A creation writes each AWS object once: what the benchmark of the reconciler holds a thousand specs to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import pytest

from benchmarks.reconcile.write_counter import COMPLETED, FILLED, OPENED, WriteCounter
from controller.aws.calls import Call, Hook
from controller.errors import AnswerLostError, MoorageError
from controller.resources.base import Workshop, discover
from controller.runtime.once import exit_code
from tests.conftest import EmbeddedAws
from tests.demo import Clients, Demo, Model


class Writes(Hook):
    """How often each operation that writes was called."""

    def __init__(self) -> None:
        self.names: Counter[str] = Counter()

    def before(self, call: Call) -> None:
        if call.kind == "write":
            self.names[call.name] += 1


class Done(Hook):
    """Shows another hook what was done, or may have been; what AWS refused, in bad weather time and again, wrote nothing."""

    def __init__(self, hook: Hook) -> None:
        self._hook = hook

    def after(self, call: Call, answer: Mapping[str, Any] | MoorageError) -> None:
        if isinstance(answer, Mapping | AnswerLostError):
            self._hook.before(call)


def test_a_creation_writes_each_object_once(
    idle_aws: EmbeddedAws, workshop: Workshop, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Two models from nothing: no object is written twice, each upload that is opened is completed, and whatever else is
    written is an object; once all is there, nothing is written any more.
    """
    idle_aws.admin("reset", "POST")
    written, writes = WriteCounter(), Writes()
    models = (Model(name="one"), Model(name="two"))
    demo = Demo(
        Clients(idle_aws.endpoint),
        discover(workshop),
        tmp_path_factory.mktemp("specs"),
        models=models,
        hooks=(Done(written), Done(writes)),
    )
    assert exit_code(demo.go().statuses) == 0
    objects, repeated = written.take()
    assert repeated == {}
    assert writes.names[OPENED] == writes.names[COMPLETED] > 0
    assert objects == writes.names.total() - writes.names[OPENED] - writes.names[FILLED]
    writes.names.clear()
    assert exit_code(demo.go().statuses) == 0
    assert writes.names == {}
