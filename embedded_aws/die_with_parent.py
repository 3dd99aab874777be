"""Run a command that dies with its parent: `python die_with_parent.py PARENT_PID COMMAND...`.

When the parent dies, even by kill -9, the kernel sends SIGKILL to this process and to the command that it becomes by
exec (prctl(2), PR_SET_PDEATHSIG). It imports the standard library alone, so it costs a few milliseconds.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main(argv: list[str]) -> None:
    """Request the signal, check that the parent is still alive, and exec the command."""
    parent, command = int(argv[0]), argv[1:]
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        sys.exit(1)
    os.execvp(command[0], command)  # noqa: S606  (needs no shell)


if __name__ == "__main__":
    main(sys.argv[1:])
