"""What the server needs is pinned once more, for the image alone, and never differs from what is tested here."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]


def pins(lock: Path) -> dict[str, frozenset[str]]:
    """`name==version` → the hashes of its files."""
    blocks = re.split(r"\n(?=\S)", lock.read_text().strip())
    return {
        re.split(r"[ \\]", block, maxsplit=1)[0]: frozenset(re.findall(r"sha256:[0-9a-f]{64}", block))
        for block in blocks
    }


def test_the_servers_lock_is_part_of_the_projects() -> None:
    """Same versions, same hashes; no marker, since it is for one Python and Linux; no index; no scientific stack."""
    lock = ROOT / "inference_server/requirements.lock"
    ours, all_of_them = pins(lock), pins(ROOT / "requirements.lock")
    assert len(ours) > 10
    assert {name: all_of_them.get(name) for name in ours} == ours
    assert not re.search(r"[;:]//|index|;|numpy|scipy", lock.read_text())
