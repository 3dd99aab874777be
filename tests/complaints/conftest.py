"""What the complaints are tried on: a model that is served, over one embedded AWS for each module."""

from __future__ import annotations

import time

import pytest

from controller.core.plan import Step
from controller.core.status import Status
from controller.engine.run_result import exit_code
from controller.reconcile import PassResult
from controller.resources.base import ResourceContext, discover_resources
from tests.conftest import EmbeddedAws
from tests.demo import Demo, EmbeddedClients, Model


@pytest.fixture(scope="module")
def demo(idle_aws: EmbeddedAws, resource_context: ResourceContext, tmp_path_factory: pytest.TempPathFactory) -> Demo:
    """A model, served; its tasks are no processes."""
    idle_aws.call_admin_endpoint("reset", "POST")
    demo = Demo(
        EmbeddedClients(idle_aws.endpoint), discover_resources(resource_context), tmp_path_factory.mktemp("specs")
    )
    assert exit_code(demo.reconcile_until_settled().statuses) == 0
    return demo


@pytest.fixture
def settled(demo: Demo) -> Demo:
    """The demo as it was declared first, reconciled: every test begins there."""
    demo.models, demo.hooks = (Model(),), ()
    assert exit_code(demo.reconcile_until_settled().statuses) == 0
    return demo


def model_status(done: PassResult) -> Status:
    """How the model stands after a pass."""
    return next(status for status in done.statuses if status.owner.kind == "ModelService")


def condition_of(done: PassResult, kind: str) -> tuple[str, str]:
    """Status and reason of one of the model's conditions."""
    found = model_status(done).find_condition(kind)
    assert found is not None
    return found.status, found.reason


def reconcile_collecting_steps(demo: Demo, removed_models: tuple[Model, ...] = ()) -> list[Step]:
    """Every step of every pass until nothing is under way."""
    reconciler, wanted, steps = demo.reconciler(), demo.spec_contexts(), list[Step]()
    deadline = time.monotonic() + demo.patience
    while time.monotonic() < deadline:
        done = reconciler.reconcile(wanted, removed_specs=[model.key for model in removed_models])
        steps += done.completed_steps
        if done.requeue_after is None:
            return steps
        time.sleep(min(done.requeue_after, 1) * 0.02)
    raise AssertionError("it never came to an end")
