"""What may be deleted because no file declares it any more."""

from __future__ import annotations

from collections.abc import Iterable

from controller.core.values import Key
from controller.environments.factory import OpenEnvironment
from controller.errors import StoppedError


def find_prunable(environments: Iterable[OpenEnvironment], max_share: float) -> list[Key]:
    """All that is removed from some environments.

    Raises StoppedError when in one of them it is more than the share `most` of what is known; a single one always may go.
    """
    found: list[Key] = []
    for site in environments:
        gone = site.find_removed_specs()
        known = len(gone) + len(site.contexts) - 1
        if len(gone) > 1 and len(gone) > max_share * known:
            raise StoppedError(
                f"{len(gone)} of {known} ModelServices would be deleted, more than --max-prune {max_share:.0%} allows",
                where=f"environment {site.name}",
                why=", ".join(owner.name for owner in gone),
                hint="check the files, or allow more",
            )
        found += gone
    return found
