"""`python -m inference_server --model-dir DIR`: load, prove, serve. Exit 0 after a signal, 1 if it can't serve, 2 on usage."""

from __future__ import annotations

import os
import sys

import uvloop

from inference_server import model as models
from inference_server.errors import StartError
from inference_server.lifecycle import serve
from inference_server.log import configure
from inference_server.options import parse


def main() -> int:
    """Run the server until it is told to stop."""
    options = parse(sys.argv[1:], os.environ)
    log = configure(options.log_level)
    try:
        model = models.load(options.model_dir, options.threads)
        uvloop.run(serve(model, options, log))
    except StartError as error:
        log.error("can't serve", reason=str(error))  # noqa: TRY400 - the reason says it all
        return 1
    except OSError as error:
        log.error("can't listen", address=f"{options.host}:{options.port}", reason=str(error))  # noqa: TRY400
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
