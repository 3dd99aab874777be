"""The demo's specs over few rows, reconciled by the real reconciler in the test's own process.

Store, hooks and registry are in the test's hand, and so is the moment at which the controller dies: whatever is
raised out of `go` ends one life of it, and the next `go` is another life over the same store and the same AWS.
"""

from __future__ import annotations

import random
import time
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import botocore.session
from botocore.credentials import Credentials

from controller.aws import AwsClient, Hook, RateLimiter
from controller.aws.session import SessionClientFactory
from controller.core.spec_context import AwsLocation, SpecContext
from controller.core.values import Key
from controller.reconcile import PassResult, Reconciler
from controller.resources.base import ResourceRegistry
from controller.sources.snapshots import build_contexts, build_snapshot
from controller.spec.load import load_text
from controller.store.base import Store
from controller.store.memory import MemoryStore
from controller.survey import Survey

ACCOUNT, REGION = "123456789012", "us-east-1"
ENVIRONMENT = """
apiVersion: moorage/v1alpha1
kind: Environment
metadata: {{name: {name}, labels: {labels}}}
spec: {{region: us-east-1, edge: {{type: cloudMap}}, {settings}}}
"""
MODEL = """
apiVersion: moorage/v1alpha1
kind: ModelService
metadata: {{name: {name}, labels: {labels}}}
spec:
  environment: {environment}
  data: {{source: rows.csv, target: value}}
  training:
    algorithm: {{name: xgboost, version: "3.2-0"}}
    hyperparameters: {{objective: {objective}, max_depth: {depth}, num_round: {rounds}}}
  model: {{{pin}gates: [{{metric: rmse, dataset: test, max: {gate}}}]}}
  image: {image}
  service: {service}
  api: {api}
  policy: {policy}
"""


@dataclass(frozen=True)
class Model:
    """What a test says of one ModelService; texts are YAML."""

    name: str = "housing-model"
    environment: str = "default"
    labels: str = "{team: pricing}"
    depth: int = 2
    rounds: int = 2
    objective: str = "reg:squarederror"
    gate: float = 1e9
    pin: str = ""
    image: str = "{}"
    service: str = "{cpu: 0.25 vCPU, memory: 1 GB}"
    api: str = "{routes: [{method: POST, path: /predict}, {method: GET, path: /model}]}"
    policy: str = "{}"

    @property
    def key(self) -> Key:
        """Its key as a spec."""
        return Key(self.environment, "ModelService", self.name)


def rows(number: int = 300) -> str:
    """A table whose value follows from two features, but for some noise; the same one each time."""
    dice = random.Random(7)
    lines = ["value,width,height"]
    for _ in range(number):
        width, height = dice.randint(1, 50), dice.randint(1, 50)
        lines.append(f"{width * height + dice.randint(0, 9)},{width},{height}")
    return "\n".join(lines) + "\n"


class EmbeddedClients:
    """What makes a door's clients, each once: they are most of what a short life of the controller costs."""

    def __init__(self, endpoint: str) -> None:
        session = botocore.session.Session()
        session._credentials = Credentials("moorage", "moorage")
        self._sources = SessionClientFactory(session, region=REGION, endpoint=endpoint)
        self.region, self.partition = self._sources.region, self._sources.partition
        self._made: dict[str, Any] = {}
        self._paging: dict[tuple[str, str], Any] = {}

    def client(self, service: str) -> Any:
        if service not in self._made:
            self._made[service] = self._sources.client(service)
        return self._made[service]

    def paginator(self, service: str, operation: str) -> Any:
        if (service, operation) not in self._paging:
            self._paging[service, operation] = self._sources.paginator(service, operation)
        return self._paging[service, operation]


class UnsettledError(AssertionError):
    """Pass after pass something is still under way."""


@dataclass
class Demo:
    """Specs, a store and an AWS. The controller itself lives from one call of `go` to its end."""

    clients: EmbeddedClients
    registry: ResourceRegistry
    directory: Path
    store: Store = field(default_factory=MemoryStore)
    models: tuple[Model, ...] = (Model(),)
    environment: str = "default"
    labels: str = "{}"
    settings: str = "cluster: models"
    hooks: tuple[Hook, ...] = ()
    server_digest: str = "5" * 64
    commit: str = ""
    patience: float = 120
    ticks: Iterator[int] = field(default_factory=count)

    def __post_init__(self) -> None:
        (self.directory / "rows.csv").write_text(rows())

    def aws_client(self) -> AwsClient:
        """A door on whose clock no bucket is ever empty: rates are not the subject here."""
        return AwsClient(self.clients, hooks=self.hooks, rate_limiter=RateLimiter(clock=count(step=100).__next__))

    def spec_contexts(self) -> list[SpecContext]:
        """What the specs say now."""
        texts = [ENVIRONMENT.format(name=self.environment, labels=self.labels, settings=self.settings)]
        texts += [MODEL.format(**vars(model)) for model in self.models]
        specs = load_text("---".join(texts), str(self.directory / "spec.yaml"))
        place = AwsLocation(ACCOUNT, REGION)
        return build_contexts(
            build_snapshot(specs, self.commit), self.environment, place, server_digest=self.server_digest
        )

    def reconciler(self) -> Reconciler:
        """The controller, newly born: it knows what store and AWS tell it."""
        return Reconciler(self.registry, self.aws_client(), self.store, lambda: f"t{next(self.ticks)}")

    def survey(self, removed_specs: Collection[Key] = ()) -> Survey:
        """Look and plan, in a life of its own."""
        return self.reconciler().survey(self.spec_contexts(), removed_specs=removed_specs)

    def reconcile_until_settled(self, *, removed_specs: Collection[Key] = ()) -> PassResult:
        """Pass after pass, in one life, until nothing is under way. Raises UnsettledError after `patience` seconds."""
        reconciler, wanted, deadline = self.reconciler(), self.spec_contexts(), time.monotonic() + self.patience
        while True:
            done = reconciler.reconcile(wanted, removed_specs=removed_specs)
            if done.requeue_after is None:
                return done
            if time.monotonic() > deadline:
                raise UnsettledError([[c.message for c in status.conditions] for status in done.statuses])
            time.sleep(min(done.requeue_after, 1) * 0.02)
