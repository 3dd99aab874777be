"""One resource type at a time, driven by the real executor through the real door against the embedded AWS."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from controller.aws import Aws, Budgets, connect
from controller.core.diff import Change, diff
from controller.core.graph import Graph, Node, Observed, Target
from controller.core.plan import Action, Step, record_of
from controller.core.status import Ready, Verdict
from controller.core.values import Blob, Key, Ref, Value
from controller.core.wanted import Inputs, Place, Wanted
from controller.executor import Executor
from controller.resources.base import Registry, Workshop, discover
from controller.spec.models import Environment, ModelService
from controller.store.memory import MemoryStore
from tests.conftest import EmbeddedAws

ENVIRONMENT = Environment.default()
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
    channels = {channel: Blob("c" * 64, 0, bytes) for channel in ("train", "validation", "test")}
    inputs = Inputs("d" * 64, ("a", "b"), channels, server_digest="5" * 64)
    return Wanted(ENVIRONMENT, ModelService.model_validate(document), Place(ACCOUNT, REGION), inputs)


Given = Callable[[Node], Node]


def until(condition: Callable[[], bool]) -> None:
    """Ask until it is so; fail when it never is."""
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "it never became so"
        time.sleep(0.02)


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
        """Make it so; each call it takes must be among those that the type declares."""
        before = self.aws.calls.by_name()
        done = self.executor.perform(Step(Action.UPDATE, node, self._owner(node)))
        self._declared(node, before)
        return done

    def remove(self, node: Node) -> Any:
        """Delete it, as often as one likes; each call it takes must be declared."""
        before = self.aws.calls.by_name()
        target = Target(node.key, node.identity, self._known(node))
        waiting = self.registry[node.key.kind].delete(self.aws, target)
        self._declared(node, before)
        return waiting

    def settle(self, node: Node) -> Observed:
        """Make it, and hold that then nothing differs and doing it again writes nothing."""
        self.make(node)
        assert self.changes(node) == ()
        before = self.aws.calls.write
        seen = self.make(node)
        assert self.aws.calls.write == before
        return seen

    def gone(self, node: Node) -> None:
        """Delete it until AWS has confirmed it, then once more, and hold that it is absent then."""
        until(lambda: self.remove(node) is None)
        assert self.remove(node) is None
        assert self.see(node) == {}

    def verdict(self, node: Node) -> Verdict:
        """How it stands now."""
        return self.registry[node.key.kind].ready(node, self.see(node)[node.key])

    def wait(self, node: Node) -> Observed:
        """Look until it is ready, as passes do."""
        until(lambda: isinstance(self.verdict(node), Ready))
        return self.see(node)[node.key]

    def environment(self, want: Wanted) -> Wanted:
        """The environment's own want."""
        return replace(want, service=None)

    def ground(self, want: Wanted, kinds: Collection[str], given: Mapping[tuple[str, str], Value]) -> Given:
        """Make what a spec and its environment want of these kinds, parents first; all outputs, for those built on them."""
        wants = (self.environment(want), want)
        graph = Graph.build((w.owner, [n for r in self.registry.values() for n in r.expand(w)]) for w in wants)
        outputs: dict[Key, Mapping[str, Value]] = {}

        def lookup(ref: Ref) -> Value:
            return given[ref.key.kind, ref.output] if ref.key not in outputs else outputs[ref.key][ref.output]

        for node in graph.order():
            if node.key.kind in kinds:
                resolved = node.resolved(lookup)
                if not self.registry[node.key.kind].read_only:
                    self.make(resolved)
                outputs[node.key] = self.wait(resolved).outputs
        return lambda node: node.resolved(lookup)

    @property
    def executor(self) -> Executor:
        return Executor(self.registry, self.aws, self.store)

    def _declared(self, node: Node, before: Mapping[str, int]) -> None:
        made = {name for name, number in self.aws.calls.by_name().items() if number > before.get(name, 0)}
        assert made - {"sts.get_caller_identity"} <= self.registry[node.key.kind].permissions.keys()

    def _known(self, node: Node) -> Mapping[str, Value]:
        record = record_of(self.store.records(node.key.environment), node)
        return record.outputs if record else {}

    def _owner(self, node: Node) -> Key:
        return Key(node.key.environment, "ModelService", node.key.name.partition("/")[0])


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the layers are kept that take seconds to pack."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def bench(embedded_aws: EmbeddedAws, cache: Path) -> Bench:
    """A bench on the embedded AWS; tests use specs of different names."""
    budgets = Budgets(clock=count(step=100).__next__)  # a clock on which no bucket is ever empty
    aws = connect(endpoint=embedded_aws.endpoint, region=REGION, budgets=budgets)
    return Bench(aws, discover(Workshop(cache)))


@pytest.fixture(scope="session")
def want() -> Any:
    """How a test writes a spec: `want(service={"env": {…}})`."""
    return make_want
