"""How the process asks the C library for memory."""

from __future__ import annotations

import contextlib
import ctypes

# https://www.gnu.org/software/libc/manual/html_node/Malloc-Tunable-Parameters.html
_ARENA_MAX = -8


def share_one_arena() -> None:
    """Let threads that begin from now on share one heap, where the C library is glibc.

    It gives threads heaps of their own, so that they needn't wait for one another; Python's do that anyway. What one heap
    has free after a listing was read, another can't use: with a thousand specs that was a third of the process.
    """
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).mallopt(_ARENA_MAX, 1)
