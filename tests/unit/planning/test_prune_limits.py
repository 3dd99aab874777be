"""The limit on how many ModelServices a run may prune."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from controller.core.spec_context import AwsLocation, SpecContext
from controller.core.status import Status
from controller.core.values import Key
from controller.environments.backend import utc_now
from controller.environments.factory import OpenEnvironment
from controller.errors import StoppedError
from controller.planning.prune_limit import find_prunable
from controller.reconcile import Reconciler
from controller.spec.models import Environment
from controller.store.file_lease import FileLease
from controller.store.memory import MemoryStore


def open_environment(*known: str) -> OpenEnvironment:
    """Open an environment whose files declare nothing, while the store has statuses of some models."""
    store = MemoryStore()
    for name in known:
        store.save_status(Status(Key("default", "ModelService", name), 1, ""))
    store.save_status(Status(Key("default", "Environment", "default"), 1, ""))
    reconciler: Any = Reconciler({}, None, store, utc_now)  # type: ignore[arg-type]
    return OpenEnvironment(
        "default",
        reconciler,
        [SpecContext(Environment.default(), None, AwsLocation("1", "us-east-1"))],
        FileLease(Path("lease"), now=utc_now),
    )


def test_prune_limit_is_enforced() -> None:
    """A single model may always be pruned, more only within the allowed share, an Environment never."""
    assert [owner.name for owner in find_prunable([open_environment("a")], 0.0)] == ["a"]
    assert len(find_prunable([open_environment("a", "b")], 1.0)) == 2
    with pytest.raises(StoppedError, match="2 of 2 ModelServices would be deleted, more than --max-prune 20% allows"):
        find_prunable([open_environment("a", "b")], 0.2)
