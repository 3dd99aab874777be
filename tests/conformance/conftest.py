"""What several tests look at: one life of all types, and what specs declare of each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from controller.core.values import Value
from controller.resources.base import Workshop, discover
from tests.conformance.fields import templates
from tests.conformance.life import Evidence, live
from tests.conformance.scene import Scene
from tests.conformance.turns import MODEL, STUBBORN, TURNS
from tests.conftest import EmbeddedAws
from tests.demo import Clients, Demo


@pytest.fixture(scope="session")
def told(idle_aws: EmbeddedAws, workshop: Workshop, tmp_path_factory: pytest.TempPathFactory) -> Evidence:
    """The life of all types together, under the longest names a spec may have."""
    idle_aws.admin("reset", "POST")
    clients = Clients(idle_aws.endpoint)
    scene = Scene(discover(workshop), clients, discover(replace(workshop, many=1)))
    directory = tmp_path_factory.mktemp("specs")
    key = idle_aws.client("kms").create_key(KeyUsage="SIGN_VERIFY", KeySpec="ECC_NIST_P256")["KeyMetadata"]["Arn"]
    model = replace(MODEL, image=f"{{maxSeverity: critical, signing: {{key: '{key}'}}}}")
    demo = Demo(clients, scene.registry, directory, models=(model,), environment=model.environment, labels=model.labels)
    demo.hooks = (scene,)
    return live(demo, scene, TURNS, STUBBORN)


@pytest.fixture(scope="session")
def declared(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Value]:
    """The shape of what a spec that uses every section declares, by kind."""
    registry = discover(Workshop(Path()))
    cors = "{allowOrigins: ['https://a.example'], allowMethods: [POST], allowHeaders: [x-a]}"
    secrets = "[{name: SALT, valueFrom: 'arn:aws:ssm:us-east-1:123456789012:parameter/salt'}]"
    model = replace(
        MODEL,
        image="{maxSeverity: critical}",
        service=f"{{cpu: 0.5 vCPU, memory: 1 GB, env: {{A: b}}, secrets: {secrets}}}",
        api=f"{{routes: [{{method: POST, path: /predict}}], throttle: {{rate: 50, burst: 100}}, cors: {cors}}}",
    )
    directory = tmp_path_factory.mktemp("specs")
    clients = Clients("http://127.0.0.1:9")
    demo = Demo(clients, registry, directory, models=(model,), environment=model.environment)
    return templates(registry, demo.wants())
