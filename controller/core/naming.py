"""Physical names, from one function: readable, deterministic, unique, within each type's limit."""

from __future__ import annotations

import re

from controller.core.values import Value, digest

HASH_LENGTH = 8


def physical_name(readable_prefix: str, *seed: Value, limit: int) -> str:
    """Return `readable_prefix` and a hash of the seed, in at most `limit` characters of a-z, 0-9 and `-`.

    The seed holds what distinguishes two objects (account, Region, environment, name) and the immutable fields: with
    another value of one of those the name differs, so the replacement can exist before its predecessor is deleted.
    """
    clean = re.sub(r"[^a-z0-9]+", "-", readable_prefix.lower()).strip("-")
    return f"{clean[: limit - HASH_LENGTH - 1].rstrip('-')}-{digest(*seed)[:HASH_LENGTH]}"
