"""The child processes of the embedded AWS: training jobs and tasks. None outlives the program."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Lock
from typing import IO

_GUARD = Path(__file__).with_name("die_with_parent.py")


class ChildProcesses:
    """Starts child processes and stops them all.

    The kernel ties a child's parent-death signal to the *thread* that started it. So one thread, which lives as long as
    the program, starts them all.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._running: set[subprocess.Popen[bytes]] = set()
        self._spawner = ThreadPoolExecutor(1, thread_name_prefix="spawner")

    def spawn(
        self,
        command: Sequence[str],
        *,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
        stdout: int | IO[bytes] | None = subprocess.DEVNULL,
        stderr: int | IO[bytes] | None = subprocess.DEVNULL,
    ) -> subprocess.Popen[bytes]:
        """Start `command`. With `env`, the child sees these variables only. Raises OSError when it can't be started."""
        guarded = [sys.executable, "-I", "-S", str(_GUARD), str(os.getpid()), *command]
        start = self._spawner.submit(
            lambda: subprocess.Popen(
                guarded,
                cwd=cwd,
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
                start_new_session=True,
            )
        )
        process = start.result()
        with self._lock:
            self._running = {child for child in self._running if child.poll() is None} | {process}
        return process

    def stop_all(self, grace: float = 3.0) -> None:
        """Send SIGTERM to all children and, after `grace` seconds, SIGKILL to the remaining ones.

        Return when none is left.
        """
        with self._lock:
            running, self._running = self._running, set()
        for process in running:
            process.terminate()
        for process in running:
            try:
                process.wait(grace)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
