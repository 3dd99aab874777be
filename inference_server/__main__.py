"""Load, verify and serve one model bundle: `python -m inference_server --model-dir DIR`.

Exit codes: 0 after a signal, 1 if the server can't serve, 2 on a usage error.
"""

from __future__ import annotations

import os
import signal
import sys
from dataclasses import replace

import uvloop
from structlog.typing import FilteringBoundLogger

from inference_server import aiohttp_without_ca_certs, listener, workers  # noqa: F401 - imports aiohttp first
from inference_server import model as models
from inference_server.errors import StartupError
from inference_server.lifecycle import serve
from inference_server.log import configure_logging
from inference_server.metrics import SharedCounters
from inference_server.options import Options, parse


def main() -> int:
    """Run the server until a signal stops it, and return the exit code."""
    # PID 1 ignores SIGTERM until it installs a handler, and loading a large model takes a while.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    options = parse(sys.argv[1:], os.environ)
    log = configure_logging(options.log_level)
    try:
        if options.workers == 1:
            return _run_worker(options, log, SharedCounters())
        with listener.bind(options.host, options.port, shared=True) as reserved:
            return _run_workers(replace(options, port=reserved.getsockname()[1]), log)
    except OSError as error:
        log.error("can't listen", address=f"{options.host}:{options.port}", reason=str(error))  # noqa: TRY400
        return 1


def _run_workers(options: Options, log: FilteringBoundLogger) -> int:
    counters = SharedCounters(options.workers)

    def work(index: int) -> int:
        counters.worker = index
        return _run_worker(options, log.bind(worker=index), counters)

    return workers.supervise(options.workers, work, log)


def _run_worker(options: Options, log: FilteringBoundLogger, counters: SharedCounters) -> int:
    try:
        model = models.load(options.model_dir, options.threads)
        uvloop.run(serve(model, options, log, counters))
    except StartupError as error:
        log.error("can't serve", reason=str(error))  # noqa: TRY400 - the reason suffices
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
