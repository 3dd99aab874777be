"""Fixtures of every test level."""

from __future__ import annotations

import json
import os
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from xdist.scheduler import LoadScopeScheduling

from controller.resources.base import ResourceContext
from embedded_aws import control

# Variables that the product, boto3, git or a library of theirs reads. A test sees only those that it sets itself.
READ = ("AWS", "BOTO", "DOCKER_", "ECS_", "FORCE_COLOR", "GIT_", "GITHUB", "MOORAGE", "NO_COLOR", "OTEL_", "XDG_CONFIG")
# `make test-weather` sets this one; the embedded AWS and the tests that wait longer in bad weather read it.
KEPT = ("MOORAGE_LOCAL_WEATHER",)
# The machine's own configuration of git; and no search for credentials at an address that answers on EC2 alone.
# And one thread for each training: workers and their child processes outnumber the cores.
FIXED = {"AWS_EC2_METADATA_DISABLED": "true", "GIT_CONFIG_NOSYSTEM": "1", "OMP_NUM_THREADS": "1"}


def clear_environment() -> None:
    """Remove every variable that could change an outcome, for this process and for those that it starts."""
    for name in [*os.environ]:
        if (name.startswith(READ) or name.lower().endswith("_proxy")) and name not in KEPT:
            del os.environ[name]
    os.environ |= FIXED
    # Most tests start processes of the product's code, and no process need compile what another one has compiled.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    sys.dont_write_bytecode = False


# At import: some modules read their variables when they are imported.
clear_environment()


# Tests that take minutes and share nothing but the scenario's undisturbed run: each may go to another worker.
SPREAD = (
    "tests/reliability/test_fault_injection.py::test_fault_at_every_call_site_converges",
    "tests/reliability/test_crash_injection.py::test_crash_at_every_call_converges",
)


class ModuleScheduling(LoadScopeScheduling):  # type: ignore[misc]  # xdist's classes are untyped here
    """Keeps the tests of a module on one worker, which shares their fixtures, except those in SPREAD."""

    def _split_scope(self, nodeid: str) -> str:
        return nodeid if nodeid.startswith(SPREAD) else nodeid.partition("::")[0]


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> ModuleScheduling:
    """Schedule by module."""
    return ModuleScheduling(config, log)


def pytest_itemcollected(item: pytest.Item) -> None:
    """Keep the order of tests that may be steps: in long modules, and on one embedded AWS. Modules are shuffled."""
    if not item.nodeid.startswith("tests/unit/") or "running_aws" in getattr(item, "fixturenames", ()):
        item.add_marker(pytest.mark.random_order(disabled=True))


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Start with the suites of long modules, whatever the random order, so that short ones fill the end of the run."""
    items.sort(key=lambda item: item.nodeid.startswith("tests/unit/"))


@pytest.fixture(scope="session", autouse=True)
def no_home(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Give the tests an empty home directory: no `~/.aws`, `~/.gitconfig`, `~/.docker` or `~/.netrc` of the user's."""
    os.environ["HOME"] = str(tmp_path_factory.mktemp("no-home"))


@dataclass(frozen=True)
class EmbeddedAws:
    """A running embedded AWS and how to talk to it."""

    endpoint: str
    home: Path
    session: boto3.Session

    def client(self, service: str, **config: Any) -> Any:
        """A boto3 client that sends each call once and keeps the endpoint's host."""
        settings = Config(retries={"total_max_attempts": 1}, inject_host_prefix=False, proxies={}, **config)
        return self.session.client(service, endpoint_url=self.endpoint, config=settings)

    @contextmanager
    def without_faults(self) -> Iterator[None]:
        """For hands that wait for nothing and send nothing twice; then the run's weather again."""
        self.call_admin_endpoint("weather", "PUT", {"kinds": []})
        try:
            yield
        finally:
            self.call_admin_endpoint("weather", "DELETE")

    def call_admin_endpoint(self, endpoint: str, method: str = "GET", body: Any = None) -> Any:
        """Ask a page of the program itself: `health`, `calls`, `faults`, `reset`."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.endpoint}/_moorage/{endpoint}", data, method=method)
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=30) as answer:
            return json.load(answer)


@pytest.fixture(scope="session")
def running_aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedAws]:
    """One embedded AWS for the whole run, on a free port."""
    home = tmp_path_factory.mktemp("embedded-aws")
    try:
        found = control.up(home)
        session = boto3.Session("AKIAIOSFODNN7EXAMPLE", "example", region_name="us-east-1")
        yield EmbeddedAws(found.endpoint, home, session)
        os.kill(found.pid, 0)  # it must have lived through every test
    finally:
        control.down(home)


@pytest.fixture(scope="session")
def idle_aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedAws]:
    """An embedded AWS whose tasks are no processes and whose VPC links take no time: for what many passes
    are run on.
    """
    home = tmp_path_factory.mktemp("idle-aws")
    before = dict(os.environ)
    os.environ |= {"MOORAGE_LOCAL_RUNNER": "noop", "MOORAGE_LOCAL_VPC_LINK_SECONDS": "0.02"}
    try:
        found = control.up(home)
    finally:
        os.environ.clear()
        os.environ.update(before)
    try:
        session = boto3.Session("AKIAIOSFODNN7EXAMPLE", "example", region_name="us-east-1")
        yield EmbeddedAws(found.endpoint, home, session)
    finally:
        control.down(home)


@pytest.fixture(scope="session")
def resource_context(tmp_path_factory: pytest.TempPathFactory) -> ResourceContext:
    """A cache of the layers that take seconds to pack, which all workers share."""
    base = tmp_path_factory.getbasetemp()
    return ResourceContext((base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "layer-cache")


@pytest.fixture(scope="module")
def embedded_aws(running_aws: EmbeddedAws) -> EmbeddedAws:
    """The embedded AWS, emptied for this module, and its home without a store."""
    running_aws.call_admin_endpoint("reset", "POST")
    for store in running_aws.home.glob("local-*.db*"):
        store.unlink()
    return running_aws
