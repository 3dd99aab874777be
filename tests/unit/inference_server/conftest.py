"""Models trained once per session, servers started once per module."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from .bundles import Bundle, train
from .processes import Process
from .servers import Running

Trainer = Callable[..., Bundle]


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trainer:
    """Give bundles by objective and parameters, each trained once."""
    known: dict[str, Bundle] = {}

    def bundle(objective: str = "reg:squarederror", **options: Any) -> Bundle:
        key = repr((objective, sorted(options.items())))
        if key not in known:
            known[key] = train(tmp_path_factory.mktemp("bundle"), objective, **options)
        return known[key]

    return bundle


@pytest.fixture(scope="session")
def housing(trained: Trainer) -> Bundle:
    """The plain regression bundle."""
    return trained()


@pytest.fixture(scope="module")
def serve() -> Iterator[Callable[..., Running]]:
    """Start servers that end with the module; the same bundle and options share one."""
    running: dict[str, Running] = {}

    def start(bundle: Bundle, **options: Any) -> Running:
        key = repr((bundle.directory, sorted(options.items())))
        if key not in running:
            running[key] = Running(bundle, **options)
        return running[key]

    yield start
    for server in running.values():
        server.stop()


@pytest.fixture
def start() -> Iterator[Callable[..., Process]]:
    """Start processes that are gone when the test ends."""
    processes: list[Process] = []

    def one(*arguments: Any, **environment: str) -> Process:
        processes.append(Process(*arguments, **environment))
        return processes[-1]

    yield one
    for process in processes:
        if process.process.poll() is None:
            process.process.kill()
        process.process.communicate()
