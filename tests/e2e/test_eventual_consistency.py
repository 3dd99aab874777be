"""Reads that lag behind writes, as those of ECS, EC2 and IAM do: nothing is made twice, and nobody is blamed for it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

import pytest

from controller.core.graph import Target, get_output
from controller.core.plan import Action, Step
from controller.core.values import UNKNOWN, is_known
from controller.resources.base import ResourceContext, discover_resources
from tests.conftest import EmbeddedAws
from tests.demo import Demo, EmbeddedClients

pytestmark = pytest.mark.e2e


@pytest.fixture
def demo(
    idle_aws: EmbeddedAws, resource_context: ResourceContext, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Demo]:
    """The demo on an AWS whose reads lag, whatever the run's weather is."""
    idle_aws.call_admin_endpoint("reset", "POST")
    idle_aws.call_admin_endpoint("weather", "PUT", {"kinds": ["read-lag"], "readLag": 1})
    yield Demo(
        EmbeddedClients(idle_aws.endpoint), discover_resources(resource_context), tmp_path_factory.mktemp("specs")
    )
    idle_aws.call_admin_endpoint("reset", "POST")


def test_every_write_is_sent_once(demo: Demo, idle_aws: EmbeddedAws) -> None:
    """Made from nothing, and changed twice: one revision and one update for each change, no step done twice, no drift
    told.
    """
    planned = [step.node.key for step in demo.survey().plan.steps]
    demo.reconcile_until_settled()
    for cpu in ("0.5 vCPU", "1 vCPU"):
        idle_aws.call_admin_endpoint("calls", "DELETE")
        demo.models = (replace(demo.models[0], service=f"{{cpu: {cpu}, memory: 2 GB}}"),)
        demo.reconcile_until_settled()
        calls = Counter(idle_aws.call_admin_endpoint("calls")["calls"])
        assert (calls["ecs.RegisterTaskDefinition"], calls["ecs.UpdateService"]) == (1, 1)
    assert demo.survey().plan.steps == ()
    made = Counter(event.key for event in demo.store.list_events() if event.reason == "Created")
    assert made == Counter(planned)
    assert [event for event in demo.store.list_events() if event.reason == "Drifted"] == []


@pytest.mark.parametrize("kind", ["ec2/security-group", "ecs/cluster", "iam/role"])
def test_object_not_yet_visible_can_be_deleted(demo: Demo, idle_aws: EmbeddedAws, kind: str) -> None:
    """Made, and removed while reads still say that it isn't there: it is gone then, and nothing of it stays behind."""
    survey, aws, resource = demo.survey(), demo.aws_client(), demo.registry[kind]
    nodes = (
        node.resolve(lambda ref: get_output(survey.seen, ref, UNKNOWN)) for node in survey.graph.topological_order()
    )
    node = next(node for node in nodes if node.key.kind == kind and is_known([node.identity, node.desired]))
    idle_aws.call_admin_endpoint("weather", "PUT", {"kinds": ["read-lag"], "readLag": 300})
    assert resource.observe(aws, [Target(node.key, node.identity)]) == {}
    made = resource.apply(aws, Step(Action.CREATE, node, node.key), None)
    assert resource.observe(aws, [Target(node.key, node.identity)]) == {}
    assert resource.delete(aws, Target(node.key, node.identity, made.outputs)) is None
    with idle_aws.without_faults():
        assert resource.observe(aws, [Target(node.key, node.identity)]) == {}
