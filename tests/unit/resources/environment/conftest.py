"""A bench for one resource type: expanded from a spec, driven by the real executor, against the embedded AWS."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from copy import copy
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from controller.aws import AwsClient, CallCounter, RateLimiter, connect
from controller.core.diff import Change, diff
from controller.core.graph import Node, Observed, Target
from controller.core.plan import Action, Step, find_record
from controller.core.spec_context import AwsLocation, ResolvedInputs, SpecContext
from controller.core.status import Ready, Waiting
from controller.core.values import Key, Ref
from controller.resources.base import Resource, ResourceContext
from controller.spec.models import Environment, ModelService
from controller.step_executor import StepExecutor
from controller.store.memory import MemoryStore

ENVIRONMENT = {"apiVersion": "moorage/v1alpha1", "kind": "Environment", "metadata": {"name": "bench"}}
SERVICE = {
    "apiVersion": "moorage/v1alpha1",
    "kind": "ModelService",
    "metadata": {"name": "housing-model", "labels": {"team": "pricing"}},
    "spec": {
        "data": {"source": "../data/housing.csv", "target": "value"},
        "training": {
            "algorithm": {"name": "xgboost", "version": "3.2-0"},
            "hyperparameters": {"objective": "reg:squarederror", "num_round": 3},
        },
    },
}


def build_spec_context(
    *, service: bool, spec: Mapping[str, Any] | None = None, inputs: ResolvedInputs | None = None, **metadata: Any
) -> SpecContext:
    """The Environment's own want, or the ModelService's; `spec` and `metadata` replace parts of it."""
    base = SERVICE if service else ENVIRONMENT
    document = {**base, "metadata": {**base["metadata"], **metadata}, "spec": {**base.get("spec", {}), **(spec or {})}}
    environment = Environment.model_validate(ENVIRONMENT if service else document)
    model = ModelService.model_validate(document) if service else None
    return SpecContext(environment, model, AwsLocation("123456789012", "us-east-1"), inputs or ResolvedInputs())


@dataclass
class ResourceHarness:
    """One type, one store, one account. `outputs` answers the Refs of its nodes."""

    aws: AwsClient
    resource: Resource
    outputs: dict[Key, dict[str, Any]] = field(default_factory=dict)
    store: MemoryStore = field(default_factory=MemoryStore)

    @property
    def executor(self) -> StepExecutor:
        return StepExecutor({self.resource.kind: self.resource}, self.aws, self.store)

    def nodes(self, context: SpecContext) -> list[Node]:
        return [node.resolve(self._output) for node in self.resource.expand(context)]

    def node(self, context: SpecContext) -> Node:
        (node,) = self.nodes(context)
        return node

    def _output(self, ref: Ref) -> Any:
        return self.outputs[ref.key][ref.output]

    def observe(self, node: Node) -> Observed | None:
        record = find_record(self.store.list_records(node.key.environment), node)
        known = record.outputs if record else {}
        return self.resource.observe(self.aws, [Target(node.key, node.identity, known)]).get(node.key)

    def changes(self, node: Node) -> tuple[Change, ...]:
        """What the plan would say; an absent object is one change."""
        record, seen = find_record(self.store.list_records(node.key.environment), node), self.observe(node)
        if seen is None:
            return (Change("", None, None),)
        return diff(record.managed_fields if record else None, seen.fields, node.desired, self.resource.policy)

    def apply(self, node: Node, action: Action = Action.CREATE) -> Observed:
        """Create or update, as the executor does; its calls must be among those that the type says it makes."""
        owner = Key(node.key.environment, "ModelService", "housing-model")
        done = self.executor.execute(Step(action, node, owner))
        self._declared()
        return done

    def delete(self, node: Node) -> Waiting | None:
        target = Target(node.key, node.identity, (self.observe(node) or Observed()).outputs)
        waiting = self.resource.delete(self.aws, target)
        self._declared()
        return waiting

    def writes(self, action: Callable[[], Any]) -> int:
        before = self.aws.call_counter.writes
        action()
        return self.aws.call_counter.writes - before

    def wait_until_ready(self, node: Node) -> Observed:
        """Look again until it is ready, as passes do."""
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            seen = self.observe(node)
            if seen is not None and isinstance(self.resource.ready(node, seen), Ready):
                return seen
            time.sleep(0.02)
        pytest.fail(f"{node.key} did not become ready")

    def delete_until_absent(self, node: Node) -> None:
        """Delete until AWS has confirmed it, as passes do; then once more."""
        deadline = time.monotonic() + 20
        while self.delete(node) is not None:
            assert time.monotonic() < deadline, f"{node.key} was not deleted"
            time.sleep(0.02)
        assert self.observe(node) is None
        assert self.delete(node) is None

    def run_lifecycle(self, node: Node, changed: Node) -> Observed:
        """Create, no-op, update, delete twice; gives what was seen after the update."""
        assert self.observe(node) is None
        assert self.apply(node) == self.observe(node)
        assert self.changes(node) == ()
        assert self.writes(lambda: self.apply(node)) == 0
        assert self.changes(changed) != ()
        seen = self.apply(changed, Action.UPDATE)
        assert self.changes(changed) == ()
        assert self.delete(changed) is None
        assert self.observe(changed) is None
        assert self.delete(changed) is None
        return seen

    def _declared(self) -> None:
        made = {name for name in self.aws.call_counter.counts_by_name() if not name.startswith("sts.")}
        assert made <= set(self.resource.permissions), "a call that `permissions` doesn't name"


@pytest.fixture(scope="session")
def shared_client(running_aws: Any) -> AwsClient:
    """One door for all tests: making botocore's clients is most of what a test costs."""
    rate_limiter = RateLimiter(clock=count(step=100).__next__)  # a clock on which no bucket is ever empty
    return connect(region="us-east-1", endpoint=running_aws.endpoint, rate_limiter=rate_limiter)


@pytest.fixture
def open_harness(embedded_aws: Any, shared_client: AwsClient, tmp_path: Path) -> Callable[..., ResourceHarness]:
    """`bench(Cluster)`: a bench for that type, whose door has counted nothing yet."""
    del embedded_aws

    def make(kind: type[Resource], **outputs: Any) -> ResourceHarness:
        aws = copy(shared_client)  # the clients are shared, counts and hooks are not
        aws.call_counter, aws._hooks = CallCounter(), ()
        return ResourceHarness(aws, kind(ResourceContext(tmp_path)), **outputs)

    return make


@pytest.fixture
def environment() -> Callable[..., SpecContext]:
    """`environment(spec={…}, labels={…})`."""
    return lambda **changes: build_spec_context(service=False, **changes)


@pytest.fixture
def service() -> Callable[..., SpecContext]:
    """`service(spec={…}, labels={…})`."""
    return lambda **changes: build_spec_context(service=True, **changes)


@pytest.fixture
def with_tags() -> Callable[..., Node]:
    """The node with other tags: `with_tags(node, team="x")`."""
    return lambda node, **tags: replace(node, desired={**node.desired, "tags": {**node.desired["tags"], **tags}})
