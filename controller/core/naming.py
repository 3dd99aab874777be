"""Physical names, from one function: readable, deterministic, unique, within each type's limit."""

from __future__ import annotations

import re

from controller.core.values import Value, digest

HASH_LENGTH = 8


def physical_name(readable_prefix: str, *seed: Value, limit: int) -> str:
    """`prefix` and a hash of the seed, at most `limit` characters of a-z, 0-9 and `-`.

    The seed holds what must tell two objects apart (account, region, environment, name) and the fields that can't be
    changed in place: with another value of one of those the name is another, so the new can be made before the old goes.
    """
    clean = re.sub(r"[^a-z0-9]+", "-", readable_prefix.lower()).strip("-")
    return f"{clean[: limit - HASH_LENGTH - 1].rstrip('-')}-{digest(*seed)[:HASH_LENGTH]}"
