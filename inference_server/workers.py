"""Several worker processes for one server: forked, told of signals, and all ended when one ends by itself.

Each worker loads the model and listens on its own socket of the same port (SO_REUSEPORT), so the kernel shares out the
connections. Nothing is loaded before the fork: libgomp's threads would not survive it. No asyncio here: the parent only
waits. As PID 1 it also takes in orphans.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from contextlib import suppress

from structlog.typing import FilteringBoundLogger

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


def supervise(count: int, work: Callable[[int], int], log: FilteringBoundLogger) -> int:
    """Run `work(index)` in `count` processes until all have ended. Give 0 if they ended well, after a signal."""
    signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)  # a signal that comes meanwhile waits until all are there
    children = {_fork(work, index) for index in range(count)}
    told = False

    def tell(number: int, _frame: object) -> None:
        nonlocal told
        told = True
        for child in children:
            with suppress(ProcessLookupError):  # it has just ended
                os.kill(child, number)

    for number in _SIGNALS:
        signal.signal(number, tell)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
    result = 0
    while children:
        child, status = os.wait()
        if child not in children:
            continue
        children.remove(child)
        code = os.waitstatus_to_exitcode(status)
        if code or not told:
            log.error("worker ended", pid=child, exit_code=code)
            result = 1
            if not told:
                tell(signal.SIGTERM, None)
    return result


def _fork(work: Callable[[int], int], index: int) -> int:
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
        code = work(index)
    except SystemExit:
        code = 0  # told to stop before it had begun
    finally:
        os._exit(code)
