"""`python -m embedded_aws --home DIR --port N`: run the embedded AWS in the foreground.

Port 0 takes a free one. While the program runs, DIR/local.json has its `endpoint`, `pid` and `started`, and it holds
DIR/local.lock. So a home has one embedded AWS at most, and a kill -9 frees the home. All state is in memory and ends
with the program.
"""

from __future__ import annotations

import argparse
import asyncio
import fcntl
import json
import logging
import os
import signal
import sys
import warnings
from pathlib import Path

# moto reads its settings from the environment, when it is imported.
_MOTO = {
    "MOTO_ACCOUNT_ID": "123456789012",  # for every access key
    "MOTO_DISABLE_GLOBAL_CORS": "true",  # web pages have no access
    "MOTO_IAM_LOAD_MANAGED_POLICIES": "true",
    "MOTO_EC2_LOAD_DEFAULT_AMIS": "false",
}


def main(argv: list[str]) -> int:
    """Run until SIGTERM or SIGINT. Return 1 when another program holds the home."""
    parser = argparse.ArgumentParser(prog="python -m embedded_aws", description=__doc__)
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--port", type=int, default=0)
    options = parser.parse_args(argv)
    home = options.home.resolve()
    home.mkdir(parents=True, exist_ok=True)
    with (home / "local.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"an embedded AWS already runs in {home}", file=sys.stderr)  # noqa: T201
            return 1
        os.chdir(home)
        os.environ |= _MOTO
        logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
        # moto warns about each error code that a service's model doesn't list; AWS has many of those.
        warnings.filterwarnings("ignore", module="moto")
        asyncio.run(_run(home, options.port))
    return 0


async def _run(home: Path, port: int) -> None:
    # Importing moto takes half a second, so it waits until this program holds the home.
    from embedded_aws.emulator import Emulator, utc_now
    from embedded_aws.server import run_server
    from embedded_aws.strict import install_all

    emulator = Emulator(home)
    install_all(emulator)
    emulator.reset()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    state = home / "local.json"

    async def ready(endpoint: str) -> None:
        text = json.dumps(
            {"endpoint": endpoint, "pid": os.getpid(), "started": utc_now().isoformat(timespec="seconds")}
        )
        draft = home / "local.json.new"
        draft.write_text(text)
        draft.replace(state)

    try:
        await run_server(emulator, port, ready, stop)
    finally:
        state.unlink(missing_ok=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
