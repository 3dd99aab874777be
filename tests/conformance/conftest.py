"""One life of all types, which several tests look at."""

from __future__ import annotations

from dataclasses import replace

import pytest

from controller.resources.base import Workshop, discover
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
