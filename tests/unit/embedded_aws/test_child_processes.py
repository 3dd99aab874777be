"""Child processes of the embedded AWS never outlive it."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from pathlib import Path

from embedded_aws.child_processes import ChildProcesses

ROOT = Path(__file__).resolve().parents[3]
# A program that starts a child, prints its pid, and waits forever. The child inherits the pipe on descriptor 1.
PROGRAM = """
import sys, time
from embedded_aws.child_processes import ChildProcesses
child = ChildProcesses().spawn([sys.executable, "-c", "import time; time.sleep(600)"], stdout=None)
print(child.pid, flush=True)
time.sleep(600)
"""


def test_a_child_dies_when_its_program_is_killed() -> None:
    """After kill -9 of the program the kernel kills its child: the pipe that both hold open closes."""
    program = subprocess.Popen(
        [sys.executable, "-c", PROGRAM], stdout=subprocess.PIPE, env={"PYTHONPATH": str(ROOT)}, text=True
    )
    with program, program.stdout as output:
        child = int(output.readline())
        os.kill(child, 0)
        program.send_signal(signal.SIGKILL)
        assert select.select([output], [], [], 30)[0]
        assert output.read() == ""


def test_stop_all_kills_a_child_that_ignores_sigterm() -> None:
    """`stop_all` sends SIGTERM, then SIGKILL, and returns when no child is left."""
    children = ChildProcesses()
    deaf = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(600)"
    )
    process = children.spawn([sys.executable, "-c", deaf], stdout=subprocess.PIPE)
    with process.stdout as output:
        assert output.readline() == b"deaf\n"
        children.stop_all(grace=0.1)
    assert process.returncode == -signal.SIGKILL


def test_the_guard_exits_when_its_parent_is_dead(tmp_path: Path) -> None:
    """When the parent died before the guard was ready, the command never runs."""
    guard = ROOT / "embedded_aws/die_with_parent.py"
    command = [sys.executable, str(guard), "0", sys.executable, "-c", f"open({str(tmp_path / 'ran')!r}, 'w')"]
    assert subprocess.run(command, check=False).returncode == 1
    assert not (tmp_path / "ran").exists()
