"""`python -m embedded_aws --home DIR --port N`: the embedded AWS, in the foreground.

Port 0 takes a free one. While it runs, DIR/local.json says where (`endpoint`, `pid`, `started`) and DIR/local.lock is
held, so that a home has one at most, and a kill -9 frees it. State is in memory: the end of the program forgets it.
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
    "MOTO_ACCOUNT_ID": "123456789012",  # whatever the access key says
    "MOTO_DISABLE_GLOBAL_CORS": "true",  # no web page may talk to it
    "MOTO_IAM_LOAD_MANAGED_POLICIES": "true",
    "MOTO_EC2_LOAD_DEFAULT_AMIS": "false",
}


def main(argv: list[str]) -> int:
    """Run until SIGTERM or SIGINT. Returns 1 when another one holds the home."""
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
        # moto warns of every error code that a service's model doesn't list, and AWS has many of those.
        warnings.filterwarnings("ignore", module="moto")
        asyncio.run(_run(home, options.port))
    return 0


async def _run(home: Path, port: int) -> None:
    # moto costs half a second to import, so nothing imports it before the home is ours.
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
