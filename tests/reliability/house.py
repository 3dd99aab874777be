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

from controller.aws import Aws
from controller.core.wanted import Inputs, Place, Wanted
from controller.reconcile import Pass, Reconciler
from controller.resources.base import Workshop
from controller.runtime.compose import Site
from controller.spec.load import load_text
from controller.store.file_lease import FileLease
from tests.demo import ENVIRONMENT, MODEL, Model, UnsettledError
from tests.reliability.cloud import RUNNING, TYPES, Cloud, Thing
from tests.reliability.killer import CrashedError, Journal, Killer

# The ids that the cloud gives.
MADE_UP = r"\b[a-z]+-\d+\b"
# One life at a time, and each in this process: nobody else could take it.
NOBODYS = FileLease(Path("lease"), now=str)


@dataclass(frozen=True)
class Parts:
    """What a controller is made of; a planted bug is another part."""

    types: tuple[type[Thing], ...] = TYPES
    reconciler: type[Reconciler] = Reconciler
    store: type[Journal] = Journal
    cloud: type[Cloud] = Cloud

    def with_type(self, altered: type[Thing]) -> Parts:
        """With one type taking the place of the one that it derives from."""
        kept = tuple(kind for kind in self.types if kind.kind != altered.kind)
        return replace(self, types=(*kept, altered))


@dataclass
class House:
    """One cloud, one store, one spec; every call of `live` is a life of the controller."""

    parts: Parts = field(default_factory=Parts)
    killer: Killer = field(default_factory=Killer)

    def __post_init__(self) -> None:
        self.cloud, self.store = self.parts.cloud((self.killer,)), self.parts.store(self.killer)
        self.ticks = count()

    def twin(self) -> House:
        """Another house as this one is now."""
        other = House(self.parts)
        other.cloud, other.store = self.cloud.copy((other.killer,)), self.store.copy(other.killer)
        return other

    def live(self, model: Model | None, *, until_hit: bool = False) -> Pass:
        """Pass after pass, until nothing is under way, or the pass in which the killer struck. Raises UnsettledError."""
        registry = {kind.kind: kind(Workshop(Path())) for kind in self.parts.types}
        aws, ticks = cast("Aws", self.cloud), self.ticks
        reconciler = self.parts.reconciler(registry, aws, self.store, lambda: f"t{next(ticks)}")
        wanted = wants(model)
        gone = Site("default", reconciler, wanted, NOBODYS).gone()
        for _ in range(60):
            self.cloud.pass_time()
            done = reconciler.reconcile(wanted, gone=gone)
            if done.after is None or (until_hit and self.killer.hit):
                return done
        raise UnsettledError("it does not settle")

    def survive(self, model: Model | None) -> Pass:
        """Life after life, until one comes to its end."""
        for _ in range(60):
            try:
                return self.live(model)
            except CrashedError:
                continue
        raise UnsettledError("it is killed again and again")

    def state(self, *, history: bool = True) -> Any:
        """All that is there, and what is remembered of it. Without `history`, only what lives.

        What the cloud made up is named by its order.
        """
        things = self.cloud.things if history else {kind: _alive(kind, self.cloud) for kind in self.cloud.things}
        listed = {kind: sorted(items.values(), key=_nameless) for kind, items in sorted(things.items()) if items}
        remembered = sorted([str(r.key), json.dumps(r.identity, sort_keys=True)] for r in self.store.records("default"))
        text = json.dumps([listed, remembered if history else []], sort_keys=True)
        masks: dict[str, str] = {}
        return json.loads(re.sub(MADE_UP, lambda found: masks.setdefault(found[0], f"#{len(masks)}"), text))

    def faults(self, *, history: bool = True) -> list[str]:
        """What no state may have, however it came about.

        What was begun and is no longer wanted may stay marked as under way where it is history: a prune still finds it.
        """
        keeps = {kind.kind for kind in self.parts.types if kind.superseded == "collect" and not history}
        under_way = [record.key for record in self.store.records("default") if record.pending]
        found = [f"{key} is pending" for key in under_way if key.kind not in keeps]
        found += [f"a {kind} was to go before what was built on it" for kind in self.cloud.refused]
        for kind, names in {"api": ["name"], "version": ["fingerprint"], "job": ["name"], "service": ["name"]}.items():
            marks = [tuple(item[name] for name in names) for item in self.cloud.all(kind).values()]
            found += [f"there are two of {kind} {mark}" for mark in set(marks) if marks.count(mark) > 1]
        return found


def _nameless(thing: Mapping[str, Any]) -> str:
    return re.sub(MADE_UP, "*", json.dumps(thing, sort_keys=True))


def _alive(kind: str, cloud: Cloud) -> Mapping[str, Any]:
    """Without ended jobs, versions, and revisions that nothing runs: they are history."""
    things = cloud.all(kind)
    if kind == "job":
        return {name: job for name, job in things.items() if job["status"] in RUNNING}
    if kind == "version":
        return {}
    return dict(list(things.items())[-1:]) if kind == "task" else things


@cache
def wants(model: Model | None) -> list[Wanted]:
    """What the environment and the model want."""
    text = ENVIRONMENT.format(name="default", labels="{}", settings="cluster: models")
    specs = load_text(text + ("---" + MODEL.format(**vars(model)) if model else ""))
    home, place = specs.environment("default"), Place("123456789012", "us-east-1")
    inputs = Inputs(data_digest="d")
    return [Wanted(home, None, place), *(Wanted(home, one.model, place, inputs) for one in specs.services.values())]
