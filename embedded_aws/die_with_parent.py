"""Runs a command that dies with its parent: `python guard.py PARENT_PID COMMAND...`.

The kernel sends SIGKILL to this process, and to what it becomes by exec, when the parent dies, even by kill -9
(prctl(2), PR_SET_PDEATHSIG). Imports nothing but the standard library, so it costs a few milliseconds.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main(argv: list[str]) -> None:
    """Ask for the signal, check that the parent didn't die in between, become the command."""
    parent, command = int(argv[0]), argv[1:]
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        sys.exit(1)
    os.execvp(command[0], command)  # noqa: S606  (no shell is wanted)


if __name__ == "__main__":
    main(sys.argv[1:])
