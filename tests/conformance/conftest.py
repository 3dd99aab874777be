"""One life of all types, which several tests look at."""

from __future__ import annotations

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
    scene = Scene(discover(workshop), clients)
    directory = tmp_path_factory.mktemp("specs")
    demo = Demo(clients, scene.registry, directory, models=(MODEL,), environment=MODEL.environment, labels=MODEL.labels)
    demo.hooks = (scene,)
    return live(demo, scene, TURNS, STUBBORN)
