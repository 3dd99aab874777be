"""The chapters of one model's life that a crash may fall into, each from where the one before ended."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from tests.demo import Demo, Model

# One revision of history: what a chapter supersedes goes in the next one but one.
MODEL = Model(policy="{history: 1, deletion: {artifacts: Delete, registry: Delete, logs: Delete}}")
UPDATED_SERVICE = "{cpu: 0.5 vCPU, memory: 1 GB, desiredCount: 2, env: {LOG_LEVEL: info}}"
UPDATED_API = (
    "{stage: prod, routes: [{method: POST, path: /predict}, {method: GET, path: /livez}],"
    " throttle: {rate: 50, burst: 100}, cors: {allowOrigins: ['https://a.example']}}"
)


@dataclass(frozen=True)
class Phase:
    """What the spec says in it; None: the spec is gone, and is to be pruned."""

    name: str
    model: Model | None

    def apply_to(self, demo: Demo) -> Callable[[], Any]:
        """Put the specs as the chapter has them; gives what one life of the controller does about it."""
        demo.models = () if self.model is None else (self.model,)
        absent = [MODEL.key] if self.model is None else []
        return lambda: demo.reconcile_until_settled(removed_specs=absent)


_UPDATED = replace(MODEL, labels="{tier: gold}", service=UPDATED_SERVICE, api=UPDATED_API)
SCENARIO = (
    Phase("create", MODEL),
    Phase("update", _UPDATED),
    Phase("retrain", replace(_UPDATED, depth=3)),
    Phase("rollback", _UPDATED),
    Phase("retrain again", replace(_UPDATED, depth=5)),
    Phase("gate failure", replace(_UPDATED, depth=4, gate=0)),
    Phase("prune", None),
)
