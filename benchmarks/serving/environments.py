"""The peers' environments: one virtual environment each, from a list of exact versions and wheel digests.

They lie below `.bench/` and are kept. The digests are of wheels for CPython 3.11 on Linux x86-64; elsewhere pip refuses
them, and the peers can't be measured.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]
PLACE: Final = ROOT / ".bench"
PEERS: Final = Path(__file__).parent / "peers"


def python(peer: str) -> Path:
    """Give a peer's interpreter, after making its environment unless it is there and up to date."""
    pinned = PEERS / peer / "requirements.txt"
    home = PLACE / "environments" / peer
    interpreter, installed = home / "bin" / "python", home / "installed.txt"
    if not installed.exists() or installed.read_bytes() != pinned.read_bytes():
        print(f"installing {peer} into {home.relative_to(ROOT)} ...", file=sys.stderr)
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(home)], check=True)
        pip = [str(interpreter), "-m", "pip", "install", "-qq", "--disable-pip-version-check"]
        subprocess.run([*pip, "--require-hashes", "--no-deps", "--only-binary", ":all:", "-r", str(pinned)], check=True)
        # Compiled now, so that no server's first start pays for it.
        subprocess.run([str(interpreter), "-m", "compileall", "-qq", str(home / "lib")], check=False)
        installed.write_bytes(pinned.read_bytes())
    return interpreter
