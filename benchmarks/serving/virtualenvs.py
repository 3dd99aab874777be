"""The environments of the servers: a virtual environment for each peer, and one for Moorage's server and the floor.

Each is made from exact versions and wheel digests, lies below `.bench/` and is kept. Moorage's server gets what its
image has, and not what its developers have. The peers' digests are of wheels for CPython 3.11 on Linux x86-64;
elsewhere pip refuses them, and the peers can't be measured.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]
WORK_DIR: Final = ROOT / ".bench"
PEERS: Final = Path(__file__).parent / "peers"


_SERVER: Final = ROOT / "inference_server" / "requirements.lock"


def server_interpreter() -> str:
    """Give the interpreter with what is in the server's image."""
    return _interpreter("server", _SERVER)


def peer_interpreter(name: str) -> str:
    """Give a peer's interpreter."""
    return _interpreter(name, PEERS / name / "requirements.txt")


def _interpreter(name: str, requirements: Path) -> str:
    """Give an environment's interpreter, after making the environment unless it is there and up to date."""
    directory = WORK_DIR / "environments" / name
    interpreter, installed = str(directory / "bin" / "python"), directory / "installed.txt"
    if not installed.exists() or installed.read_bytes() != requirements.read_bytes():
        print(f"installing {name} into {directory.relative_to(ROOT)} ...", file=sys.stderr)
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(directory)], check=True)
        pip = [interpreter, "-m", "pip", "install", "-qq", "--disable-pip-version-check"]
        subprocess.run(
            [*pip, "--require-hashes", "--no-deps", "--only-binary", ":all:", "-r", str(requirements)], check=True
        )
        # Compiled now, so that no server's first start pays for it.
        subprocess.run([interpreter, "-m", "compileall", "-qq", str(directory / "lib")], check=False)
        installed.write_bytes(requirements.read_bytes())
    return interpreter
