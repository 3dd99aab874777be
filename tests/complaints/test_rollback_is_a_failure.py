"""Complaint 1: a rollback reported as success."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from controller.aws import AwsCall, Hook
from controller.engine.run_result import exit_code
from controller.resources.base import ResourceContext, discover_resources
from controller.store.memory import MemoryStore
from tests.complaints.conftest import condition_of, model_status
from tests.conftest import EmbeddedAws
from tests.demo import Demo, EmbeddedClients, Model
from tests.http_requests import continuous_client, send_request

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]
PASSES = 50
MODEL = Model(service="{cpu: 0.25 vCPU, memory: 1 GB, health: {interval: 5s, timeout: 2s, startPeriod: 5s}}")


class CanaryCorruptor(Hook):
    """Changes what a bundle's canaries are said to give, right after the bundle was written."""

    def __init__(self, aws: EmbeddedAws) -> None:
        self._s3, self.active, self.done = aws.client("s3"), False, 0

    def after(self, call: AwsCall, answer: Any) -> None:
        if not self.active or call.name != "s3.put_object" or not call.params["Key"].endswith("manifest.json"):
            return
        manifest = json.loads(call.params["Body"])
        for canary in manifest["canaries"]:
            canary["prediction"] = [1e9]
        body = json.dumps(manifest).encode()
        self._s3.put_object(Bucket=call.params["Bucket"], Key=call.params["Key"], Body=body)
        self.done += 1


@pytest.fixture
def real(embedded_aws: EmbeddedAws, resource_context: ResourceContext, tmp_path: Path) -> Demo:
    """A served model, in real processes."""
    demo = Demo(EmbeddedClients(embedded_aws.endpoint), discover_resources(resource_context), tmp_path, models=(MODEL,))
    assert exit_code(demo.reconcile_until_settled().statuses) == 0
    return demo


def served_version(url: str) -> Mapping[str, Any]:
    found: Mapping[str, Any] = json.loads(send_request(f"{url}/model")[1])
    return found


def test_rollback_is_reported_as_failure_and_stays_one(real: Demo, embedded_aws: EmbeddedAws) -> None:
    """terraform-provider-aws#20858 and #48997, ecs-deploy#185, pulumi-awsx#1848.

    A version that can't start is rolled back by ECS's circuit breaker, after which the service is as stable as ever:
    exit code 4, Degraded and Deployed say RolledBack. What served answers throughout; fifty passes deploy nothing, and
    neither does a controller that has lost its memory; another spec serves.
    """
    demo, corruptor = real, CanaryCorruptor(embedded_aws)
    demo.hooks, corruptor.active = (corruptor,), True
    url = str(model_status(demo.reconciler().reconcile(demo.spec_contexts())).facts["endpoint"])
    before = served_version(url)
    with continuous_client(url, [3, 4]) as outcomes:
        demo.models = (replace(MODEL, depth=3),)
        failed = demo.reconcile_until_settled()
        assert corruptor.done == 1
        assert exit_code(failed.statuses) == 4
        assert condition_of(failed, "Degraded") == ("True", "RolledBack")
        assert condition_of(failed, "Deployed") == ("False", "RolledBack")
        events = len(demo.store.list_events())
        reconciler = demo.reconciler()
        for _ in range(PASSES):
            again = reconciler.reconcile(demo.spec_contexts())
            assert (again.requeue_after, exit_code(again.statuses)) == (None, 4)
        assert reconciler.aws.call_counter.writes == 0
        assert len(demo.store.list_events()) == events
        demo.store = MemoryStore()  # what AWS itself remembers of the deployment is enough
        forgotten = demo.reconciler()
        assert exit_code(forgotten.reconcile(demo.spec_contexts()).statuses) == 4
        assert forgotten.aws.call_counter.writes == 0
        corruptor.active = False
        demo.models = (replace(MODEL, depth=4),)
        cleared = demo.reconcile_until_settled()
    assert exit_code(cleared.statuses) == 0
    assert condition_of(cleared, "Degraded") == ("False", "AsDeclared")
    assert set(outcomes) == {"200"}
    assert outcomes["200"] > PASSES
    assert served_version(url)["version"] == before["version"] + 2
