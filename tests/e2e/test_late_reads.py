"""Reads that lag behind writes, as those of ECS, EC2 and IAM do: nothing is made twice, and nobody is blamed for it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

import pytest

from controller.resources.base import Workshop, discover
from tests.conftest import EmbeddedAws
from tests.demo import Clients, Demo

pytestmark = pytest.mark.e2e


@pytest.fixture
def demo(idle_aws: EmbeddedAws, workshop: Workshop, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    """The demo on an AWS whose reads lag, whatever the run's weather is."""
    idle_aws.admin("reset", "POST")
    idle_aws.admin("weather", "PUT", {"kinds": ["read-lag"], "readLag": 1})
    yield Demo(Clients(idle_aws.endpoint), discover(workshop), tmp_path_factory.mktemp("specs"))
    idle_aws.admin("reset", "POST")


def test_every_write_is_sent_once(demo: Demo, idle_aws: EmbeddedAws) -> None:
    """Made from nothing, and changed twice: one revision and one update for each change, no step done twice, no drift told."""
    planned = [step.node.key for step in demo.survey().plan.steps]
    demo.go()
    for cpu in ("0.5 vCPU", "1 vCPU"):
        idle_aws.admin("calls", "DELETE")
        demo.models = (replace(demo.models[0], service=f"{{cpu: {cpu}, memory: 2 GB}}"),)
        demo.go()
        calls = Counter(idle_aws.admin("calls")["calls"])
        assert (calls["ecs.RegisterTaskDefinition"], calls["ecs.UpdateService"]) == (1, 1)
    assert demo.survey().plan.steps == ()
    made = Counter(event.key for event in demo.store.events() if event.reason == "Created")
    assert made == Counter(planned)
    assert [event for event in demo.store.events() if event.reason == "Drifted"] == []
