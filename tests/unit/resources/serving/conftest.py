"""One resource type at a time, driven by the real executor through the real door against the embedded AWS."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from controller.aws import AwsClient, RateLimiter, connect
from controller.core.diff import Change, diff
from controller.core.graph import Graph, Node, Observed, Target
from controller.core.plan import Action, Step, find_record
from controller.core.spec_context import AwsLocation, ResolvedInputs, SpecContext
from controller.core.status import Ready, Verdict
from controller.core.values import Blob, Key, Ref, Value
from controller.resources.base import ResourceContext, ResourceRegistry, discover_resources
from controller.spec.models import Environment, ModelService
from controller.step_executor import StepExecutor
from controller.store.memory import MemoryStore
from tests.conftest import EmbeddedAws

ENVIRONMENT = Environment.default()
ACCOUNT, REGION = "123456789012", "us-east-1"


def build_spec_context(name: str = "housing-model", **spec: Any) -> SpecContext:
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
    inputs = ResolvedInputs("d" * 64, ("a", "b"), channels, server_digest="5" * 64)
    return SpecContext(ENVIRONMENT, ModelService.model_validate(document), AwsLocation(ACCOUNT, REGION), inputs)


GivenOutputs = Callable[[Node], Node]


def until(condition: Callable[[], bool]) -> None:
    """Ask until it is so; fail when it never is."""
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "it never became so"
        time.sleep(0.02)


@dataclass
class ResourceHarness:
    """What a test does with nodes: make them so, look whether they are, remove them."""

    aws: AwsClient
    registry: ResourceRegistry
    store: MemoryStore = field(default_factory=MemoryStore)

    def nodes(
        self, kind: str, context: SpecContext, given: Mapping[tuple[str, str], Value] | None = None
    ) -> list[Node]:
        """The nodes of a kind. Refs take `given[kind or key name, output]`, or a text that names both."""
        given = given or {}

        def lookup(ref: Ref) -> Value:
            return given.get((ref.key.kind, ref.output), f"{ref.key.kind} {ref.output}")

        return [node.resolve(lookup) for node in self.registry[kind].expand(context)]

    def node(self, kind: str, context: SpecContext, given: Mapping[tuple[str, str], Value] | None = None) -> Node:
        """The only node of a kind."""
        (node,) = self.nodes(kind, context, given)
        return node

    def observe(self, *nodes: Node) -> dict[Key, Observed]:
        """What is there."""
        targets = [Target(node.key, node.identity, self._known(node)) for node in nodes]
        return self.registry[nodes[0].key.kind].observe(self.aws, targets)

    def changes(self, node: Node) -> tuple[Change, ...]:
        """What would be changed of a node that is there."""
        record = find_record(self.store.list_records(node.key.environment), node)
        live = self.observe(node)[node.key].fields
        return diff(record.managed_fields if record else None, live, node.desired, self.registry[node.key.kind].policy)

    def apply(self, node: Node) -> Observed:
        """Make it so; each call it takes must be among those that the type declares."""
        before = self.aws.call_counter.counts_by_name()
        done = self.executor.execute(Step(Action.UPDATE, node, self._owner(node)))
        self._declared(node, before)
        return done

    def delete(self, node: Node) -> Any:
        """Delete it, as often as one likes; each call it takes must be declared."""
        before = self.aws.call_counter.counts_by_name()
        target = Target(node.key, node.identity, self._known(node))
        waiting = self.registry[node.key.kind].delete(self.aws, target)
        self._declared(node, before)
        return waiting

    def apply_until_stable(self, node: Node) -> Observed:
        """Make it, and hold that then nothing differs and doing it again writes nothing."""
        self.apply(node)
        assert self.changes(node) == ()
        before = self.aws.call_counter.writes
        seen = self.apply(node)
        assert self.aws.call_counter.writes == before
        return seen

    def delete_until_absent(self, node: Node) -> None:
        """Delete it until AWS has confirmed it, then once more, and hold that it is absent then."""
        until(lambda: self.delete(node) is None)
        assert self.delete(node) is None
        assert self.observe(node) == {}

    def verdict(self, node: Node) -> Verdict:
        """How it stands now."""
        return self.registry[node.key.kind].ready(node, self.observe(node)[node.key])

    def wait_until_ready(self, node: Node) -> Observed:
        """Look until it is ready, as passes do."""
        until(lambda: isinstance(self.verdict(node), Ready))
        return self.observe(node)[node.key]

    def environment_context(self, context: SpecContext) -> SpecContext:
        """The environment's own want."""
        return replace(context, service=None)

    def apply_prerequisites(
        self, context: SpecContext, kinds: Collection[str], given: Mapping[tuple[str, str], Value]
    ) -> GivenOutputs:
        """Make what a spec and its environment want of these kinds, parents first.

        All outputs, for those built on them.
        """
        contexts = (self.environment_context(context), context)
        graph = Graph.build((w.owner, [n for r in self.registry.values() for n in r.expand(w)]) for w in contexts)
        outputs: dict[Key, Mapping[str, Value]] = {}

        def lookup(ref: Ref) -> Value:
            return given[ref.key.kind, ref.output] if ref.key not in outputs else outputs[ref.key][ref.output]

        for node in graph.topological_order():
            if node.key.kind in kinds:
                resolved = node.resolve(lookup)
                if not self.registry[node.key.kind].read_only:
                    self.apply(resolved)
                outputs[node.key] = self.wait_until_ready(resolved).outputs
        return lambda node: node.resolve(lookup)

    @property
    def executor(self) -> StepExecutor:
        return StepExecutor(self.registry, self.aws, self.store)

    def _declared(self, node: Node, before: Mapping[str, int]) -> None:
        made = {name for name, number in self.aws.call_counter.counts_by_name().items() if number > before.get(name, 0)}
        assert made - {"sts.get_caller_identity"} <= self.registry[node.key.kind].permissions.keys()

    def _known(self, node: Node) -> Mapping[str, Value]:
        record = find_record(self.store.list_records(node.key.environment), node)
        return record.outputs if record else {}

    def _owner(self, node: Node) -> Key:
        return Key(node.key.environment, "ModelService", node.key.name.partition("/")[0])


@pytest.fixture(scope="session")
def layer_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the layers are kept that take seconds to pack."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def harness(embedded_aws: EmbeddedAws, layer_cache: Path) -> ResourceHarness:
    """A bench on the embedded AWS; tests use specs of different names."""
    rate_limiter = RateLimiter(clock=count(step=100).__next__)  # a clock on which no bucket is ever empty
    aws = connect(endpoint=embedded_aws.endpoint, region=REGION, rate_limiter=rate_limiter)
    return ResourceHarness(aws, discover_resources(ResourceContext(layer_cache)))


@pytest.fixture(scope="session")
def spec_context() -> Any:
    """How a test writes a spec: `want(service={"env": {…}})`."""
    return build_spec_context
