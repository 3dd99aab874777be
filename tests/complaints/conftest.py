"""What the complaints are tried on: a model that is served, over one embedded AWS for each module."""

from __future__ import annotations

import time

import pytest

from controller.core.plan import Step
from controller.core.status import Status
from controller.reconcile import Pass
from controller.resources.base import Workshop, discover
from controller.runtime.once import exit_code
from tests.conftest import EmbeddedAws
from tests.demo import Clients, Demo, Model


@pytest.fixture(scope="module")
def demo(idle_aws: EmbeddedAws, workshop: Workshop, tmp_path_factory: pytest.TempPathFactory) -> Demo:
    """A model, served; its tasks are no processes."""
    idle_aws.admin("reset", "POST")
    demo = Demo(Clients(idle_aws.endpoint), discover(workshop), tmp_path_factory.mktemp("specs"))
    assert exit_code(demo.go().statuses) == 0
    return demo


@pytest.fixture
def settled(demo: Demo) -> Demo:
    """The demo as it was declared first, reconciled: every test begins there."""
    demo.models, demo.hooks = (Model(),), ()
    assert exit_code(demo.go().statuses) == 0
    return demo


def status(done: Pass) -> Status:
    """How the model stands after a pass."""
    return next(status for status in done.statuses if status.owner.kind == "ModelService")


def told(done: Pass, kind: str) -> tuple[str, str]:
    """Status and reason of one of the model's conditions."""
    found = status(done).condition(kind)
    assert found is not None
    return found.status, found.reason


def all_steps(demo: Demo, gone: tuple[Model, ...] = ()) -> list[Step]:
    """Every step of every pass until nothing is under way."""
    reconciler, wanted, steps = demo.reconciler(), demo.wants(), list[Step]()
    deadline = time.monotonic() + demo.patience
    while time.monotonic() < deadline:
        done = reconciler.reconcile(wanted, gone=[model.key for model in gone])
        steps += done.done
        if done.after is None:
            return steps
        time.sleep(min(done.after, 1) * 0.02)
    raise AssertionError("it never came to an end")
