"""One holder at a time, known by name, and none that is dead."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from controller.errors import LeaseHeldError, LeaseLostError, StoreError
from controller.store.file_lease import FileLease

ROOT = Path(__file__).resolve().parents[3]
_HOLDER = """
import sys, time
from pathlib import Path
from controller.store.file_lease import FileLease
with FileLease(Path(sys.argv[1]), now=lambda: "2026-01-01T00:00:00Z"):
    print("held", flush=True)
    sys.stdin.read()
"""


def now() -> str:
    return "2026-02-02T00:00:00Z"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "lease"


@pytest.fixture
def holder(path):
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        [sys.executable, "-c", _HOLDER, str(path)], env=env, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stdin is not None
    assert process.stdout.readline() == b"held\n"
    yield process
    process.kill()
    process.wait()
    process.stdin.close()
    process.stdout.close()


def test_a_held_lease_names_its_holder(path, holder):
    """Process, host and time, and exit code 8."""
    with pytest.raises(LeaseHeldError) as caught:
        FileLease(path, now=now).acquire()
    text = str(caught.value)
    assert str(holder.pid) in text
    assert socket.gethostname() in text
    assert "2026-01-01T00:00:00Z" in text
    assert caught.value.exit_code == 8


def test_killed_holder_releases_the_lease(path, holder):
    """The kernel takes the lock back with the process; the next one says that it holds it now."""
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    with FileLease(path, now=now), pytest.raises(LeaseHeldError, match=str(os.getpid())):
        FileLease(path, now=now).acquire()


def test_released_lease_can_be_acquired(path):
    """Also within one process, and any number of times."""
    for _ in range(3):
        lease = FileLease(path, now=now)
        lease.acquire()
        lease.acquire()
        lease.release()
        lease.release()


def test_child_process_does_not_inherit_the_lease(path):
    """A program started while the lease is held doesn't hold it on after its parent's release."""
    lease = FileLease(path, now=now)
    lease.acquire()
    child = subprocess.Popen(
        [sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE, close_fds=False
    )
    lease.release()
    FileLease(path, now=now).acquire()
    child.communicate(b"")


def test_lock_holds_before_the_name_is_written(path, holder):
    """The name is a courtesy, the lock is what counts."""
    path.write_text("")
    with pytest.raises(LeaseHeldError, match="has not written"):
        FileLease(path, now=now).acquire()


def test_unwritable_path_is_reported(tmp_path):
    """The parent is a file."""
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="file"):
        FileLease(tmp_path / "file" / "lease", now=now).acquire()


def test_renewal_requires_holding_the_lease(path):
    """Before and after, nothing may be sent under it."""
    lease = FileLease(path, now=now)
    with pytest.raises(LeaseLostError):
        lease.renew()
    lease.acquire()
    lease.renew()
    assert lease.held
    lease.release()
    assert not lease.held
    with pytest.raises(LeaseLostError):
        lease.renew()
