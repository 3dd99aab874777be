"""What several tests look at: one life of all types, and what specs declare of each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from controller.core.values import Value
from controller.resources.base import ResourceContext, discover_resources
from tests.conformance.call_attribution import CallAttribution
from tests.conformance.managed_fields import build_shapes
from tests.conformance.resource_lifecycle import LifecycleEvidence, run_lifecycle
from tests.conformance.update_cases import MODEL, NOT_TRANSFERABLE, UPDATE_CASES
from tests.conftest import EmbeddedAws
from tests.demo import Demo, EmbeddedClients


@pytest.fixture(scope="session")
def evidence(
    idle_aws: EmbeddedAws, resource_context: ResourceContext, tmp_path_factory: pytest.TempPathFactory
) -> LifecycleEvidence:
    """The life of all types together, under the longest names a spec may have."""
    idle_aws.call_admin_endpoint("reset", "POST")
    clients = EmbeddedClients(idle_aws.endpoint)
    scene = CallAttribution(
        discover_resources(resource_context), clients, discover_resources(replace(resource_context, list_threshold=1))
    )
    directory = tmp_path_factory.mktemp("specs")
    key = idle_aws.client("kms").create_key(KeyUsage="SIGN_VERIFY", KeySpec="ECC_NIST_P256")["KeyMetadata"]["Arn"]
    model = replace(MODEL, image=f"{{maxSeverity: critical, signing: {{key: '{key}'}}}}")
    demo = Demo(clients, scene.registry, directory, models=(model,), environment=model.environment, labels=model.labels)
    demo.hooks = (scene,)
    return run_lifecycle(demo, scene, UPDATE_CASES, NOT_TRANSFERABLE)


@pytest.fixture(scope="session")
def declared_shapes(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Value]:
    """The shape of what a spec that uses every section declares, by kind."""
    registry = discover_resources(ResourceContext(Path()))
    cors = "{allowOrigins: ['https://a.example'], allowMethods: [POST], allowHeaders: [x-a]}"
    secrets = "[{name: SALT, valueFrom: 'arn:aws:ssm:us-east-1:123456789012:parameter/salt'}]"
    model = replace(
        MODEL,
        image="{maxSeverity: critical}",
        service=f"{{cpu: 0.5 vCPU, memory: 1 GB, env: {{A: b}}, secrets: {secrets}}}",
        api=f"{{routes: [{{method: POST, path: /predict}}], throttle: {{rate: 50, burst: 100}}, cors: {cors}}}",
    )
    directory = tmp_path_factory.mktemp("specs")
    clients = EmbeddedClients("http://127.0.0.1:9")
    demo = Demo(clients, registry, directory, models=(model,), environment=model.environment)
    return build_shapes(registry, demo.spec_contexts())
