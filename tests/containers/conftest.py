"""Real parts: Debian's Docker daemon and registry, started for the run, and a base image made from Debian's packages.

They need root and the packages docker.io, docker-registry and mmdebstrap; where one is missing, the tests are skipped
and say which. The base image is made once and kept in pytest's cache.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xgboost

from controller.bundle import Bundle, build_bundle
from controller.bundle.oci_repository import OciRepository
from controller.bundle.xgboost_model import identify_model

ROOT = Path(__file__).resolve().parents[2]
BASE = "moorage-base:bookworm"
PYTHON = "3.11"  # Debian bookworm's
PACKAGES = "python3-minimal,python3-venv,python-is-python3,ca-certificates"
PATHS = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
USER, TOKEN = "AWS", "a-token-of-twelve-hours"
_counts: Counter[str] = Counter()
_reasons: set[str] = set()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All of them take longer than others."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.containers)
            item.add_marker(pytest.mark.timeout(900))


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Count those that ran, and remember why others didn't."""
    if "containers" in report.keywords and (report.when == "call" or report.skipped):
        _counts[report.outcome] += 1
        if report.skipped and isinstance(report.longrepr, tuple):
            _reasons.add(report.longrepr[2].removeprefix("Skipped: "))


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Say how many tests ran on real containers."""
    if _counts:
        ran, skipped = _counts["passed"] + _counts["failed"], _counts["skipped"]
        why = f" ({'; '.join(sorted(_reasons))})" if _reasons else ""
        terminalreporter.write_line(f"on real containers: {ran} ran, {skipped} skipped{why}")


def until(condition: Callable[[], Any], seconds: float = 60) -> Any:
    """Ask until the answer is true; fail when it never is."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := condition():
            return found
        time.sleep(0.1)
    raise AssertionError("it never became true")


def skip_unless_installed(*programs: str) -> None:
    """Skip where something is missing."""
    if os.geteuid() != 0:
        pytest.skip("a Docker daemon needs root")
    if missing := [name for name in programs if shutil.which(name) is None]:
        pytest.skip(f"{', '.join(missing)} not installed")


@contextmanager
def running(
    command: list[str], log: Path, environment: dict[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """A program, for as long as the block takes."""
    with log.open("wb") as output:
        process = subprocess.Popen(command, env=environment, stdout=output, stderr=output, start_new_session=True)
        try:
            yield process
        finally:
            process.terminate()
            process.wait(60)


@dataclass
class Docker:
    """The daemon of the run, through Debian's command line (another on the path may lack BuildKit)."""

    home: Path
    cli: str = field(default_factory=lambda: shutil.which("docker", path=f"/usr/bin:{os.environ['PATH']}") or "docker")

    def __call__(self, *words: str, given: str | None = None, check: bool = True) -> str:
        """Run a command; return what it printed."""
        where = {"DOCKER_HOST": f"unix://{self.home}/sock", "DOCKER_CONFIG": str(self.home), "DOCKER_BUILDKIT": "1"}
        done = subprocess.run(
            [self.cli, *words], input=given, env=os.environ | where, capture_output=True, text=True, check=False
        )
        assert not check or done.returncode == 0, done.stderr
        return done.stdout.strip()

    @contextmanager
    def container(self, image: str, *arguments: str, network: str = "host") -> Iterator[str]:
        """A container as Fargate's smallest task runs it: read-only, nobody, a quarter CPU, 512 MB; gone afterwards."""
        limits = ("--read-only", "--cpus=0.25", "--memory=512m", "--cap-drop=ALL", "--security-opt=no-new-privileges")
        name = self("run", "--detach", f"--network={network}", *limits, image, *arguments)
        try:
            yield name
        finally:
            self("rm", "--force", name)


@pytest.fixture(scope="session")
def docker() -> Iterator[Docker]:
    """A daemon without networks of its own: nothing of the machine's is changed."""
    skip_unless_installed("dockerd", "docker")
    home = Path(tempfile.mkdtemp(prefix="moorage-docker-"))  # not pytest's, which can't remove what is mounted
    try:
        yield from _daemon(home)
    finally:
        for mounted in ("data", "exec/netns/default"):
            subprocess.run(["umount", "--lazy", str(home / mounted)], capture_output=True, check=False)
        shutil.rmtree(home, ignore_errors=True)


def _daemon(home: Path) -> Iterator[Docker]:
    places = (
        f"--data-root={home}/data",
        f"--exec-root={home}/exec",
        f"--pidfile={home}/pid",
        f"--host=unix://{home}/sock",
    )
    networks = ("--iptables=false", "--ip6tables=false", "--bridge=none", "--ip-forward=false")
    with running(["dockerd", *places, "--storage-driver=overlay2", *networks], home / "log") as daemon:
        docker = Docker(home)
        until(lambda: daemon.poll() is not None or docker("version", "--format={{.Server.Version}}", check=False))
        if daemon.poll() is not None:
            pytest.skip(f"dockerd doesn't start: {(home / 'log').read_text().splitlines()[-1][:200]}")
        yield docker


@pytest.fixture(scope="session")
def base(docker: Docker, pytestconfig: pytest.Config) -> str:
    """A slim Python image of Debian's packages, as the official one is but for its size."""
    skip_unless_installed("mmdebstrap")
    archive = pytestconfig.cache.mkdir("containers") / "bookworm.tar"
    if not archive.exists():
        draft = archive.with_suffix(".draft.tar")
        command = ["mmdebstrap", "--variant=minbase", f"--include={PACKAGES}", "bookworm", str(draft)]
        made = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)
        if made.returncode:
            pytest.skip(f"mmdebstrap: {made.stderr.strip().splitlines()[-1]}")
        draft.rename(archive)
    changes = (f"--change=ENV PATH={PATHS}", f"--change=ENV PYTHON_VERSION={PYTHON}")
    docker("import", *changes, str(archive), BASE)
    return BASE


CONFIGURATION = """\
version: 0.1
storage: {{filesystem: {{rootdirectory: {home}/blobs}}, delete: {{enabled: true}}}}
http: {{addr: "127.0.0.1:{port}"}}
auth: {{htpasswd: {{realm: ecr, path: {home}/htpasswd}}}}
"""


@dataclass
class ContainerRegistry:
    """A registry that asks for a user and a token, as ECR's does."""

    home: Path
    port: int

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"

    def accept_token(self, token: str) -> None:
        """From now on this token is the valid one."""
        program = "print crypt($ARGV[0], q($2y$04$abcdefghijklmnopqrstuu))"
        hashed = subprocess.run(["perl", "-e", program, token], capture_output=True, text=True, check=True).stdout
        (self.home / "htpasswd").write_text(f"{USER}:{hashed}\n")

    def open(self, name: str, token: str = TOKEN) -> OciRepository:
        """A repository in it."""
        return OciRepository.connect(f"{self.host}/{name}", username=USER, password=token, insecure=True)

    def is_answering(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    @contextmanager
    def serving(self) -> Iterator[None]:
        """Up, for as long as the block takes."""
        with running(["docker-registry", "serve", str(self.home / "config.yml")], self.home / "log"):
            until(self.is_answering)
            yield


def new_registry(home: Path) -> ContainerRegistry:
    """A registry that doesn't run yet, with nothing in it."""
    skip_unless_installed("docker-registry", "perl")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        registry = ContainerRegistry(home, probe.getsockname()[1])
    (home / "config.yml").write_text(CONFIGURATION.format(home=home, port=registry.port))
    registry.accept_token(TOKEN)
    return registry


@pytest.fixture(scope="session")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ContainerRegistry]:
    """Debian's registry."""
    registry = new_registry(tmp_path_factory.mktemp("registry"))
    with registry.serving():
        yield registry


@pytest.fixture(scope="session")
def server_image(docker: Docker, base: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """What the Dockerfile builds on that base, with the machine's index and certificates as secrets."""
    secrets = []
    settings = tmp_path_factory.mktemp("secrets") / "pip.conf"
    settings.write_text("[global]\ntimeout = 180\n# canary-of-the-index\n")
    authorities = Path(os.environ.get("SSL_CERT_FILE", "/etc/ssl/certs/ca-certificates.crt"))
    secrets.append(f"--secret=id=pip,src={settings}")
    if authorities.exists():
        bundle = settings.with_name("ca.pem")
        bundle.write_text(authorities.read_text() + "\n# canary-of-the-authorities\n")
        secrets.append(f"--secret=id=ca,src={bundle}")
    build_args = (f"--build-arg=BASE_IMAGE={base}", "--build-arg=VERSION=0.1.0", "--build-arg=REVISION=abc")
    docker("build", "--network=host", *build_args, *secrets, "--tag=moorage-server:test", str(ROOT))
    return "moorage-server:test"


@dataclass
class Served:
    """A model, its bundle, and what it must predict for `row`."""

    bundle: Bundle
    row: list[float]
    prediction: float


@pytest.fixture(scope="session")
def served() -> Served:
    """A small regression of two features."""
    random = np.random.default_rng(7)
    rows = random.normal(size=(300, 2))
    matrix = xgboost.DMatrix(rows, label=rows[:, 0] * 3 + 1)
    booster = xgboost.train({"max_depth": 3, "nthread": 1, "verbosity": 0}, matrix, 20)
    bundle = build_bundle(
        identify_model(bytes(booster.save_raw("ubj"))), name="m", features=("a", "b"), target="y", version=1
    )
    row = [0.5, -1.0]
    return Served(bundle, row, float(booster.predict(xgboost.DMatrix([row]))[0]))


@pytest.fixture
def address() -> str:
    """A loopback address that nothing listens on."""
    return f"127.77.{os.getpid() % 250 + 1}.{time.monotonic_ns() % 250 + 1}"


def send_request(address: str, path: str, body: bytes | None = None) -> bytes:
    """One request on a connection of its own."""
    request = urllib.request.Request(f"http://{address}:8080{path}", body, {"Content-Type": "application/json"})
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=30) as answer:
        return bytes(answer.read())


def is_ready(address: str) -> bool:
    """Whether the server is ready."""
    try:
        return bool(send_request(address, "/readyz"))
    except OSError:
        return False
