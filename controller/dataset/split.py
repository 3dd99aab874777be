"""Assign each row to train, validation or test by its content alone, not by its number.

A random shuffle moves rows between the parts whenever the file grows. A hash of the content doesn't: a row stays in its
part, and equal rows stay together, so a test row is never one that was trained on.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from hashlib import blake2b

from controller.errors import DataError


@dataclass(frozen=True)
class SplitShares:
    """The shares of held-out rows, and the seed of the assignment. The remaining rows train."""

    validation: float = 0.08
    test: float = 0.2
    seed: int = 35

    def __post_init__(self) -> None:
        for name in ("validation", "test"):
            share = getattr(self, name)
            if not (math.isfinite(share) and 0 <= share < 1):
                raise DataError(f"split.{name} must be at least 0 and less than 1, is {share}", field="split")
        if self.validation + self.test >= 1:
            raise DataError("split.validation and split.test leave no row to train on", field="split")

    def shares(self) -> dict[str, float]:
        """Return channel name → share of the rows."""
        return {"train": 1 - self.validation - self.test, "validation": self.validation, "test": self.test}


def make_channel_assigner(split: SplitShares) -> Callable[[Iterable[str]], str]:
    """Return a function from a row (its named cells, in an order independent of the file) to its channel.

    Test comes first on the unit interval, so that another share of validation leaves the test rows unchanged.
    """
    seeded = blake2b(str(split.seed).encode() + b"\n", digest_size=8)
    test, held_out = split.test * 2**64, (split.test + split.validation) * 2**64

    def channel(row: Iterable[str]) -> str:
        hashed = seeded.copy()
        hashed.update(",".join(row).encode())
        place = int.from_bytes(hashed.digest(), "big")
        if place < test:
            return "test"
        return "validation" if place < held_out else "train"

    return channel
