"""What is wanted of a service that is taken as it was found: its revision, its tags, and nothing that a model would
need.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from controller.core.graph import Node, Observed
from controller.core.spec_context import AwsLocation, SpecContext
from controller.core.status import Ready
from controller.core.values import Key
from controller.permissions import derive_grants
from controller.resources.base import ResourceContext, discover_resources
from controller.resources.ecs_service import EcsService
from controller.spec.models import Environment, ModelService
from tests.unit.resources.serving.conftest import build_spec_context

REGISTRY = discover_resources(ResourceContext(Path()))
ARN = "arn:aws:ecs:us-east-1:123456789012:task-definition/churn:7"


def existing_service(**spec: Any) -> SpecContext:
    """One that was found, with more in its spec."""
    service = {"name": "churn", "taskDefinition": "churn:7", "discovery": "srv-1"}
    document = {"apiVersion": "moorage/v1alpha1", "kind": "ModelService", "metadata": {"name": "churn"}}
    model = ModelService.model_validate({**document, "spec": {"service": service, **spec}})
    return SpecContext(Environment.default(), model, AwsLocation("123456789012", "us-east-1"))


def environment_context(*contexts: SpecContext) -> SpecContext:
    """The Environment that they live in."""
    services = tuple(context.service for context in contexts if context.service is not None)
    return SpecContext(Environment.default(), None, contexts[0].location, model_services=services)


def expanded_nodes(context: SpecContext) -> dict[str, Node]:
    """Return the nodes of a spec, by type."""
    return {node.key.kind: node for resource in REGISTRY.values() for node in resource.expand(context)}


def test_existing_service_needs_only_revision_and_tags() -> None:
    """No training, image, role or log group; of the service the revision and the tags."""
    wanted = expanded_nodes(existing_service())
    assert wanted.keys() == {"ecs/task-definition", "ecs/service", "servicediscovery/service"}
    assert wanted["ecs/service"].desired.keys() == {"taskDefinition", "launchType", "tags"}
    assert wanted["ecs/task-definition"].is_external
    assert {kind for kind, node in wanted.items() if node.reference_field} == wanted.keys()


def test_integration_target_is_managed_and_settings_are_kept() -> None:
    """An API's integration must lead to the registry over the link; timeouts and mappings are whoever made it's."""
    (integration,) = REGISTRY["apigatewayv2/integration"].expand(existing_service(api={"id": "abc"}))
    assert integration.desired.keys() == {"IntegrationUri", "ConnectionType", "ConnectionId"}


def test_an_environment_makes_what_its_models_need() -> None:
    """Nothing where all was found; a link for an API of ours; all of it for one model of its own."""
    home = {"ec2/network", "ecs/cluster"}
    link = {"apigatewayv2/vpc-link", "ec2/security-group"}
    assert expanded_nodes(environment_context(existing_service())).keys() == home
    assert expanded_nodes(environment_context(existing_service(api={}))).keys() == home | link
    whole = home | link | {"s3/bucket", "servicediscovery/namespace"}
    assert (
        expanded_nodes(environment_context(existing_service(), build_spec_context())).keys()
        == whole
        == expanded_nodes(replace(environment_context(existing_service()), model_services=())).keys()
    )


def test_external_revision_is_read_only() -> None:
    """The policy for such a spec has no grant to register, remove or pass on anything."""
    granted = {
        grant.action for grant in derive_grants(REGISTRY, [environment_context(existing_service()), existing_service()])
    }
    assert "ecs:DescribeTaskDefinition" in granted
    assert granted.isdisjoint({"ecs:RegisterTaskDefinition", "ecs:DeregisterTaskDefinition", "iam:PassRole"})
    assert not any(action.startswith(("sagemaker:", "ecr:")) for action in granted)


@pytest.mark.parametrize(("health", "ready"), [("HEALTHY", True), ("UNKNOWN", True), ("UNHEALTHY", False)])
def test_tasks_without_health_check_are_ready_when_running(health: str, ready: bool) -> None:
    """A stranger's revision may have no health check, and an image by a tag; an unhealthy task is none that serves."""
    desired = {"taskDefinition": ARN, "desiredCount": 1}
    node = Node(Key("default", "ecs/service", "churn"), {}, desired, reference_field="spec.service.name")
    task = {"taskDefinition": ARN, "health": health, "images": {"web": ["churn:latest", f"sha256:{'a' * 64}"]}}
    primary = {"taskDefinition": ARN, "state": "COMPLETED", "running": 1, "pending": 0, "failed": 0}
    seen = Observed({}, {"deployment": primary, "failed": [], "tasks": [task], "event": ""})
    assert (EcsService(ResourceContext(Path())).ready(node, seen) == Ready()) is ready
