"""One resource type at a time, driven by the real executor through the real door against the embedded AWS."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from controller.aws import Aws, connect
from controller.core.diff import Change, diff
from controller.core.graph import Node, Observed, Target
from controller.core.plan import Action, Step, record_of
from controller.core.values import Key, Ref, Value
from controller.core.wanted import Inputs, Place, Wanted
from controller.executor import Executor
from controller.resources.base import Registry, Workshop, discover
from controller.spec.models import Environment, ModelService
from controller.store.memory import MemoryStore
from tests.conftest import EmbeddedAws

ACCOUNT, REGION = "123456789012", "us-east-1"


def make_want(name: str = "housing-model", **spec: Any) -> Wanted:
    """What a small spec wants; `spec` holds sections of it, as YAML spells them."""
    document = {
        "apiVersion": "moorage/v1alpha1",
        "kind": "ModelService",
        "metadata": {"name": name, "labels": {"team": "pricing"}},
        "spec": {
            "data": {"source": "data.csv", "target": "y"},
            "training": {
                "algorithm": {"name": "xgboost", "version": "3.2-0"},
                "hyperparameters": {"objective": "reg:squarederror", "num_round": 5},
            },
            **spec,
        },
    }
    inputs = Inputs(data_digest="d" * 64, features=("a", "b"), server_digest="5" * 64)
    return Wanted(Environment.default(), ModelService.model_validate(document), Place(ACCOUNT, REGION), inputs)


@dataclass
class Bench:
    """What a test does with nodes: make them so, look whether they are, remove them."""

    aws: Aws
    registry: Registry
    store: MemoryStore = field(default_factory=MemoryStore)

    def nodes(self, kind: str, want: Wanted, given: Mapping[tuple[str, str], Value] | None = None) -> list[Node]:
        """The nodes of a kind. Refs take `given[kind or key name, output]`, or a text that names both."""
        given = given or {}

        def lookup(ref: Ref) -> Value:
            return given.get((ref.key.kind, ref.output), f"{ref.key.kind} {ref.output}")

        return [node.resolved(lookup) for node in self.registry[kind].expand(want)]

    def node(self, kind: str, want: Wanted, given: Mapping[tuple[str, str], Value] | None = None) -> Node:
        """The only node of a kind."""
        (node,) = self.nodes(kind, want, given)
        return node

    def see(self, *nodes: Node) -> dict[Key, Observed]:
        """What is there."""
        targets = [Target(node.key, node.identity, self._known(node)) for node in nodes]
        return self.registry[nodes[0].key.kind].observe(self.aws, targets)

    def changes(self, node: Node) -> tuple[Change, ...]:
        """What would be changed of a node that is there."""
        record = record_of(self.store.records(node.key.environment), node)
        live = self.see(node)[node.key].fields
        return diff(record.managed if record else None, live, node.desired, self.registry[node.key.kind].policy)

    def make(self, node: Node) -> Observed:
        """Make it so."""
        return self.executor.perform(Step(Action.UPDATE, node, self._owner(node)))

    def remove(self, node: Node) -> Any:
        """Delete it, as often as one likes."""
        target = Target(node.key, node.identity, self._known(node))
        return self.registry[node.key.kind].delete(self.aws, target)

    def settle(self, node: Node) -> Observed:
        """Make it, and hold that then nothing differs and doing it again writes nothing."""
        self.make(node)
        assert self.changes(node) == ()
        before = self.aws.calls.write
        seen = self.make(node)
        assert self.aws.calls.write == before
        return seen

    def gone(self, node: Node) -> None:
        """Delete it twice, and hold that it is absent then."""
        assert [self.remove(node), self.remove(node)] == [None, None]
        assert self.see(node) == {}

    @property
    def executor(self) -> Executor:
        return Executor(self.registry, self.aws, self.store)

    def _known(self, node: Node) -> Mapping[str, Value]:
        record = record_of(self.store.records(node.key.environment), node)
        return record.outputs if record else {}

    def _owner(self, node: Node) -> Key:
        return Key(node.key.environment, "ModelService", node.key.name.partition("/")[0])


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the layers are kept that take seconds to pack."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def bench(embedded_aws: EmbeddedAws, cache: Path) -> Bench:
    """A bench on the embedded AWS, with an empty memory."""
    return Bench(connect(endpoint=embedded_aws.endpoint, region=REGION), discover(Workshop(cache)))


@pytest.fixture
def want() -> Any:
    """How a test writes a spec: `want(service={"env": {…}})`."""
    return make_want
