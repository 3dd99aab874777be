"""The loop as a team leaves it running: it follows its directory, says what is wrong, keeps what is declared, and ends
in order.
"""

from __future__ import annotations

import hashlib
import hmac
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.cli_workspace import NAME, ROOT, CliWorkspace
from tests.http_requests import send_request

SECRET = "a-secret-that-both-sides-know"

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]


@dataclass
class RunningLoop:
    """A loop that runs, its specs, and its pages."""

    workspace: CliWorkspace
    port: int
    process: subprocess.Popen[str]

    def get_endpoint(self, name: str) -> tuple[int, str]:
        try:
            code, body = send_request(f"http://127.0.0.1:{self.port}/{name}")
        except OSError:
            return 0, ""
        return code, body.decode()

    def status(self) -> Any:
        # Not the team's own specs, which may be broken.
        done = self.workspace.moorage("get", NAME, "-f", str(ROOT / "specs"), "-o", "json")
        return done.json["status"] if done.code == 0 else None

    def condition(self, kind: str) -> str:
        found = (self.status() or {}).get("conditions", [])
        return next((entry["status"] for entry in found if entry["type"] == kind), "")


def until(what: Callable[[], bool], seconds: float = 240) -> None:
    """Wait for something to come true; fail if it doesn't."""
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline, "it did not come true"
        time.sleep(0.2)


@pytest.fixture
def running_loop(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[RunningLoop]:
    """A loop over the demo's specs in Git or in a directory, converged from nothing."""
    team = CliWorkspace(tmp_path, variables={"MOORAGE_WEBHOOK_SECRET": SECRET})
    team.copy_from_repository()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    source = ["-f", "specs", "--interval", "1s"]
    if request.param == "git":
        git(tmp_path, "init", "-q", "-b", "main")
        commit(tmp_path)
        # An hour between polls: what is seen sooner, the webhook brought.
        source = ["--source", f"git+file://{tmp_path}@main:specs", "--interval", "1h"]
    with (tmp_path / "log").open("w") as log:
        process = team.start("reconcile", *source, "--listen", f"127.0.0.1:{port}", stdout=log, stderr=log)
    try:
        watch = RunningLoop(team, port, process)
        until(lambda: watch.condition("Ready") == "True")
        yield watch
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()
        team.stop_embedded_aws()


def git(directory: Path, *words: str) -> None:
    who = ["-c", "user.name=Team", "-c", "user.email=team@example.com"]
    subprocess.run(["git", "-C", str(directory), *who, *words], check=True, capture_output=True)


def commit(directory: Path) -> None:
    git(directory, "add", "specs", "data")
    git(directory, "commit", "-q", "-m", "Change the specs")


@pytest.mark.parametrize("running_loop", ["directory"], indirect=True)
@pytest.mark.parametrize(("end", "code"), [(signal.SIGTERM, 0), (signal.SIGKILL, -signal.SIGKILL)])
def test_loop_converges_reports_errors_and_shuts_down(
    running_loop: RunningLoop, end: signal.Signals, code: int
) -> None:
    """A change converges by itself; a broken one is told and leaves what is declared in force.

    Ended in mid-rollout, in order or not, the next run finishes.
    """
    assert running_loop.get_endpoint("healthz")[0] == running_loop.get_endpoint("readyz")[0] == 200
    assert "moorage" in running_loop.get_endpoint("metrics")[1]

    running_loop.workspace.edit(("0.25 vCPU", "0.5 vCPU"))
    until(lambda: running_loop.status()["observedGeneration"] == 2 and running_loop.condition("Ready") == "True")

    running_loop.workspace.edit(("memory: 1 GB", "memroy: 1 GB"))
    until(lambda: running_loop.condition("Degraded") == "True")
    assert running_loop.status()["observedGeneration"] == 2

    running_loop.workspace.edit(("cpu: 0.25 vCPU, memory: 1 GB", "cpu: 1 vCPU, memory: 2 GB"))
    until(lambda: running_loop.status()["observedGeneration"] == 3)
    running_loop.process.send_signal(end)
    assert running_loop.process.wait(timeout=30) == code

    done = running_loop.workspace.reconcile()
    assert done.code == 0, done.err
    assert running_loop.condition("Ready") == "True"


@pytest.mark.parametrize("running_loop", ["git"], indirect=True)
def test_a_commit_arrives_by_webhook(running_loop: RunningLoop) -> None:
    """A signed push is looked at at once, a forged one never, a replayed one not again.

    A commit that doesn't parse leaves the last good one in force.
    """
    running_loop.workspace.edit(("0.25 vCPU", "0.5 vCPU"))
    commit(running_loop.workspace.directory)
    assert push(running_loop, b"{}", "wrong") == 401
    assert push(running_loop, b"{}", SECRET) == 202
    assert push(running_loop, b"{}", SECRET) == 409
    until(lambda: running_loop.status()["observedGeneration"] == 2 and running_loop.condition("Ready") == "True")
    head = subprocess.run(
        ["git", "-C", str(running_loop.workspace.directory), "rev-parse", "HEAD"],
        check=True,
        capture_output=True,
        text=True,
    )
    assert running_loop.status()["commit"] == head.stdout.strip()

    running_loop.workspace.edit(("memory: 1 GB", "memroy: 1 GB"))
    commit(running_loop.workspace.directory)
    assert push(running_loop, b'{"after": "2"}', SECRET) == 202
    until(lambda: running_loop.condition("Degraded") == "True")
    assert running_loop.status()["observedGeneration"] == 2


def push(watch: RunningLoop, body: bytes, secret: str) -> int:
    """Deliver a push as GitHub does; give the status of the answer."""
    signature = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    headers = {"X-Hub-Signature-256": f"sha256={signature}", "content-type": "application/json"}
    request = urllib.request.Request(f"http://127.0.0.1:{watch.port}/hooks/push", body, headers)
    try:
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=10) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code
