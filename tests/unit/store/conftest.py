"""The stores that the conformance suite runs over."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from controller.store.base import Store
from controller.store.memory import MemoryStore
from controller.store.sqlite import SqliteStore

HOMES: dict[str, Callable[[Path, int], Store]] = {
    "memory": lambda _, kept: MemoryStore(events_kept=kept),
    "sqlite": lambda path, kept: SqliteStore(path, events_kept=kept),
}


@pytest.fixture(params=HOMES)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    """Each store in turn, empty; it keeps twenty events."""
    store = HOMES[request.param](tmp_path / "state" / "store.sqlite", 20)
    yield store
    store.close()
