"""A reconciler in the cloud of dictionaries: lives, ends and begins again, and what came of it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any, cast

from controller.aws import AwsClient
from controller.core.spec_context import AwsLocation, ResolvedInputs, SpecContext
from controller.environments.factory import OpenEnvironment
from controller.reconcile import PassResult, Reconciler
from controller.resources.base import ResourceContext
from controller.spec.load import load_text
from controller.store.file_lease import FileLease
from tests.demo import ENVIRONMENT, MODEL, Model, UnsettledError
from tests.reliability.crash_injection import CrashedError, CrashInjector, ObservedMemoryStore
from tests.reliability.simulated_cloud import RUNNING, SIMULATED_TYPES, SimulatedCloud, SimulatedResource

# The ids that the cloud gives.
GENERATED_ID = r"\b[a-z]+-\d+\b"
# One life at a time, and each in this process: nobody else could take it.
UNCONTENDED_LEASE = FileLease(Path("lease"), now=str)


@dataclass(frozen=True)
class ControllerParts:
    """What a controller is made of; a planted bug is another part."""

    types: tuple[type[SimulatedResource], ...] = SIMULATED_TYPES
    reconciler: type[Reconciler] = Reconciler
    store: type[ObservedMemoryStore] = ObservedMemoryStore
    cloud: type[SimulatedCloud] = SimulatedCloud

    def with_type(self, altered: type[SimulatedResource]) -> ControllerParts:
        """With one type taking the place of the one that it derives from."""
        kept = tuple(kind for kind in self.types if kind.kind != altered.kind)
        return replace(self, types=(*kept, altered))


@dataclass
class Harness:
    """One cloud, one store, one spec; every call of `live` is a life of the controller."""

    parts: ControllerParts = field(default_factory=ControllerParts)
    crash_injector: CrashInjector = field(default_factory=CrashInjector)

    def __post_init__(self) -> None:
        self.cloud, self.store = self.parts.cloud((self.crash_injector,)), self.parts.store(self.crash_injector)
        self.ticks = count()

    def copy(self) -> Harness:
        """Another house as this one is now."""
        other = Harness(self.parts)
        other.cloud, other.store = self.cloud.copy((other.crash_injector,)), self.store.copy(other.crash_injector)
        return other

    def run_controller(self, model: Model | None, *, until_hit: bool = False) -> PassResult:
        """Pass after pass, until nothing is under way, or the pass in which the killer struck.

        Raises UnsettledError.
        """
        registry = {kind.kind: kind(ResourceContext(Path())) for kind in self.parts.types}
        aws, ticks = cast("AwsClient", self.cloud), self.ticks
        reconciler = self.parts.reconciler(registry, aws, self.store, lambda: f"t{next(ticks)}")
        wanted = spec_contexts(model)
        absent = OpenEnvironment("default", reconciler, wanted, UNCONTENDED_LEASE).find_removed_specs()
        for _ in range(60):
            self.cloud.advance_time()
            done = reconciler.reconcile(wanted, removed_specs=absent)
            if done.requeue_after is None or (until_hit and self.crash_injector.hit):
                return done
        raise UnsettledError("it does not settle")

    def run_until_completed(self, model: Model | None) -> PassResult:
        """Life after life, until one comes to its end."""
        for _ in range(60):
            try:
                return self.run_controller(model)
            except CrashedError:
                continue
        raise UnsettledError("it is killed again and again")

    def state(self, *, history: bool = True) -> Any:
        """All that is there, and what is remembered of it. Without `history`, only what lives.

        What the cloud made up is named by its order.
        """
        things = (
            self.cloud.objects if history else {kind: _current_objects(kind, self.cloud) for kind in self.cloud.objects}
        )
        listed = {
            kind: sorted(items.values(), key=_without_generated_ids) for kind, items in sorted(things.items()) if items
        }
        remembered = sorted(
            [str(r.key), json.dumps(r.identity, sort_keys=True)] for r in self.store.list_records("default")
        )
        text = json.dumps([listed, remembered if history else []], sort_keys=True)
        masks: dict[str, str] = {}
        return json.loads(re.sub(GENERATED_ID, lambda found: masks.setdefault(found[0], f"#{len(masks)}"), text))

    def invariant_violations(self, *, history: bool = True) -> list[str]:
        """What no state may have, however it came about.

        What was begun and is no longer wanted may stay marked as under way where it is history: a prune still finds it.
        """
        keeps = {kind.kind for kind in self.parts.types if kind.superseded_policy == "collect" and not history}
        under_way = [record.key for record in self.store.list_records("default") if record.pending]
        found = [f"{key} is pending" for key in under_way if key.kind not in keeps]
        found += [f"a {kind} was to go before what was built on it" for kind in self.cloud.refused_deletions]
        for kind, names in {"api": ["name"], "version": ["fingerprint"], "job": ["name"], "service": ["name"]}.items():
            marks = [tuple(item[name] for name in names) for item in self.cloud.all(kind).values()]
            found += [f"there are two of {kind} {mark}" for mark in set(marks) if marks.count(mark) > 1]
        return found


def _without_generated_ids(thing: Mapping[str, Any]) -> str:
    return re.sub(GENERATED_ID, "*", json.dumps(thing, sort_keys=True))


def _current_objects(kind: str, cloud: SimulatedCloud) -> Mapping[str, Any]:
    """Without ended jobs, versions, and revisions that nothing runs: they are history."""
    things = cloud.all(kind)
    if kind == "job":
        return {name: job for name, job in things.items() if job["status"] in RUNNING}
    if kind == "version":
        return {}
    return dict(list(things.items())[-1:]) if kind == "task" else things


@cache
def spec_contexts(model: Model | None) -> list[SpecContext]:
    """What the environment and the model want."""
    text = ENVIRONMENT.format(name="default", labels="{}", settings="cluster: models")
    specs = load_text(text + ("---" + MODEL.format(**vars(model)) if model else ""))
    home, place = specs.get_environment("default"), AwsLocation("123456789012", "us-east-1")
    inputs = ResolvedInputs(data_digest="d")
    return [
        SpecContext(home, None, place),
        *(SpecContext(home, one.model, place, inputs) for one in specs.services.values()),
    ]
