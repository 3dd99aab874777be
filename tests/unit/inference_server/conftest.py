"""Models trained once per session, servers started once per module."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from .model_bundles import Bundle, train
from .server_process import ServerProcess
from .server_thread import ThreadedServer

BundleTrainer = Callable[..., Bundle]


@pytest.fixture(scope="session")
def train_bundle(tmp_path_factory: pytest.TempPathFactory) -> BundleTrainer:
    """Give bundles by objective and parameters, each trained once."""
    known: dict[str, Bundle] = {}

    def bundle(objective: str = "reg:squarederror", **options: Any) -> Bundle:
        key = repr((objective, sorted(options.items())))
        if key not in known:
            known[key] = train(tmp_path_factory.mktemp("bundle"), objective, **options)
        return known[key]

    return bundle


@pytest.fixture(scope="session")
def housing_bundle(train_bundle: BundleTrainer) -> Bundle:
    """The plain regression bundle."""
    return train_bundle()


@pytest.fixture(scope="module")
def start_server() -> Iterator[Callable[..., ThreadedServer]]:
    """Start servers that end with the module; the same bundle and options share one."""
    running: dict[str, ThreadedServer] = {}

    def start_process(bundle: Bundle, **options: Any) -> ThreadedServer:
        key = repr((bundle.directory, sorted(options.items())))
        if key not in running:
            running[key] = ThreadedServer(bundle, **options)
        return running[key]

    yield start_process
    for server in running.values():
        server.stop()


@pytest.fixture
def start_process() -> Iterator[Callable[..., ServerProcess]]:
    """Start processes that are gone when the test ends."""
    processes: list[ServerProcess] = []

    def one(*arguments: Any, **environment: str) -> ServerProcess:
        processes.append(ServerProcess(*arguments, **environment))
        return processes[-1]

    yield one
    for process in processes:
        if process.process.poll() is None:
            process.process.kill()
        process.process.communicate()
