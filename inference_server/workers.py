"""Worker processes of one server: forks them, forwards signals, and stops all when one exits unexpectedly.

Each worker loads the model and listens on its own socket of the same port (SO_REUSEPORT), so the kernel distributes
the connections. Nothing is loaded before the fork: libgomp's threads would not survive it. The parent only waits and
uses no asyncio. As PID 1 it also reaps orphans.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from contextlib import suppress

from structlog.typing import FilteringBoundLogger

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


def supervise(count: int, run_worker: Callable[[int], int], log: FilteringBoundLogger) -> int:
    """Run `run_worker(index)` in `count` processes until all have exited.

    Return 0 if a signal stopped them and all exited with 0, else 1.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)  # signals wait until all workers are started
    children = {_fork(run_worker, index) for index in range(count)}
    stopping = False

    def forward_signal(number: int, _frame: object) -> None:
        nonlocal stopping
        stopping = True
        for child in children:
            with suppress(ProcessLookupError):  # it has just exited
                os.kill(child, number)

    for number in _SIGNALS:
        signal.signal(number, forward_signal)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
    result = 0
    while children:
        child, status = os.wait()
        if child not in children:
            continue
        children.remove(child)
        code = os.waitstatus_to_exitcode(status)
        if code or not stopping:
            log.error("worker ended", pid=child, exit_code=code)
            result = 1
            if not stopping:
                forward_signal(signal.SIGTERM, None)
    return result


def _fork(run_worker: Callable[[int], int], index: int) -> int:
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
        code = run_worker(index)
    except SystemExit:
        code = 0  # SIGTERM before the worker was ready
    finally:
        os._exit(code)
