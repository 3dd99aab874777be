"""What may be deleted because no file declares it any more."""

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
    """An environment whose files declare nothing, while the store knows some models."""
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
    """One model may always go; more only within the share that is allowed; an Environment never by this."""
    assert [owner.name for owner in find_prunable([open_environment("a")], 0.0)] == ["a"]
    assert len(find_prunable([open_environment("a", "b")], 1.0)) == 2
    with pytest.raises(StoppedError, match="2 of 2 ModelServices would be deleted, more than --max-prune 20% allows"):
        find_prunable([open_environment("a", "b")], 0.2)
