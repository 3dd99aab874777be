"""Start, stop and find the embedded AWS of a home directory. `__main__.py` is the program itself.

A home has one embedded AWS at most. The program holds `local.lock` while it lives; `up` and `down` exclude one another
by `up.lock`; `local.json` counts only while the program that it names answers.
"""

from __future__ import annotations

import contextlib
import fcntl
import importlib.util
import json
import os
import signal
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from embedded_aws.errors import EmbeddedAwsError, MissingDependencyError, StartFailedError, StartTimeoutError

__all__ = [
    "EmbeddedAwsError",
    "MissingDependencyError",
    "ProgramStatus",
    "StartFailedError",
    "StartTimeoutError",
    "down",
    "status",
    "up",
]

_POLL = 0.05


@dataclass(frozen=True)
class ProgramStatus:
    """The state of a home's embedded AWS. When none runs, `pid` is 0 and `endpoint` and `started` are empty."""

    running: bool
    endpoint: str
    pid: int
    started: str
    log: Path


def up(home: Path, *, port: int = 0, runner: str = "", weather: str = "", timeout: float = 60.0) -> ProgramStatus:
    """Start the home's embedded AWS unless it runs already; return when it answers.

    `runner` is `process` or `docker`, and says what a task is. `weather` lists the kinds of weather, separated by
    commas. A program that runs already keeps its settings.

    Raises MissingDependencyError when moto isn't installed, StartFailedError when the program ends at once,
    StartTimeoutError when it doesn't answer within `timeout` seconds.
    """
    if importlib.util.find_spec("moto") is None:
        raise MissingDependencyError(
            "the embedded AWS needs moto, which isn't installed", hint="pip install 'moorage[local]'"
        )
    home = home.resolve()
    home.mkdir(parents=True, exist_ok=True)
    with _exclusive(home):
        found = status(home)
        if found.running:
            return found
        (home / "local.json").unlink(missing_ok=True)
        return _wait_until_ready(home, _start(home, port, _setting_variables(runner, weather)), timeout)


def down(home: Path, *, timeout: float = 20.0) -> ProgramStatus:
    """Stop the home's embedded AWS and all its child processes; do nothing when none runs.

    Sends SIGTERM first and SIGKILL after `timeout` seconds. Raises nothing when the program ends in between.
    """
    home = home.resolve()
    if not home.is_dir():
        return _stopped_status(home)
    with _exclusive(home):
        if _is_locked(home):
            pid = int(_read_record(home).get("pid", 0))
            _send_signal(pid, signal.SIGTERM)
            if not _wait_until_unlocked(home, timeout):
                _send_signal(pid, signal.SIGKILL)  # the kernel then ends the children (die_with_parent.py)
                _wait_until_unlocked(home, timeout)
        (home / "local.json").unlink(missing_ok=True)
    return _stopped_status(home)


def status(home: Path) -> ProgramStatus:
    """Find the home's embedded AWS. It runs when the lock is held and its health page answers with the recorded pid."""
    home = home.resolve()
    recorded = _read_record(home)
    if not recorded or not _is_locked(home) or _fetch_health(recorded["endpoint"]).get("pid") != recorded["pid"]:
        return _stopped_status(home)
    return ProgramStatus(True, recorded["endpoint"], recorded["pid"], recorded["started"], _log_path(home))


def _setting_variables(runner: str, weather: str) -> dict[str, str]:
    """Return the environment variables that differ from this process's environment."""
    chosen = {"MOORAGE_LOCAL_RUNNER": runner, "MOORAGE_LOCAL_WEATHER": weather}
    return {name: value for name, value in chosen.items() if value}


def _start(home: Path, port: int, settings: Mapping[str, str]) -> int:
    """Start the program, detached, with the current code first on its path; return its pid."""
    root = str(Path(__file__).resolve().parents[1])
    path = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH", ""))))
    # -P: Python must not import a file of the current directory that is named like a module.
    command = [sys.executable, "-P", "-m", "embedded_aws", "--home", str(home), "--port", str(port)]
    log = os.open(_log_path(home), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    null = os.open(os.devnull, os.O_RDONLY)
    try:
        actions = [(os.POSIX_SPAWN_DUP2, null, 0), (os.POSIX_SPAWN_DUP2, log, 1), (os.POSIX_SPAWN_DUP2, log, 2)]
        environment = {**os.environ, "PYTHONPATH": path, **settings}
        return os.posix_spawn(command[0], command, environment, file_actions=actions, setsid=True)
    finally:
        os.close(log)
        os.close(null)


def _wait_until_ready(home: Path, pid: int, timeout: float) -> ProgramStatus:
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        found = status(home)
        if found.running:
            return found
        if os.waitpid(pid, os.WNOHANG)[0]:
            tail = _log_path(home).read_text(errors="replace").strip().splitlines()[-5:]
            raise StartFailedError("the embedded AWS ended at once", where=str(_log_path(home)), why=" | ".join(tail))
        time.sleep(_POLL)
    raise StartTimeoutError(f"the embedded AWS didn't answer within {timeout:g} s", where=str(_log_path(home)))


@contextlib.contextmanager
def _exclusive(home: Path) -> Iterator[None]:
    """Let one `up` or `down` run at a time."""
    with (home / "up.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _is_locked(home: Path) -> bool:
    """Return whether a program holds the home. The kernel releases the lock when the program ends, however it ends."""
    try:
        with (home / "local.lock").open() as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


def _wait_until_unlocked(home: Path, timeout: float) -> bool:
    deadline = time.monotonic() + timeout
    while _is_locked(home):
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL)
    return True


def _read_record(home: Path) -> dict[str, Any]:
    try:
        return dict(json.loads((home / "local.json").read_text()))
    except (OSError, ValueError):
        return {}


def _fetch_health(endpoint: str) -> dict[str, Any]:
    # Loopback needs no proxy, whatever the environment says.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"{endpoint}/_moorage/health", timeout=5) as answer:
            return dict(json.load(answer))
    except (OSError, ValueError):
        return {}


def _send_signal(pid: int, number: signal.Signals) -> None:
    if pid > 0:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def _stopped_status(home: Path) -> ProgramStatus:
    return ProgramStatus(False, "", 0, "", _log_path(home))


def _log_path(home: Path) -> Path:
    return home / "local.log"
