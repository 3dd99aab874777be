"""Find the specs to prune, and enforce the limit on their share."""

from __future__ import annotations

from collections.abc import Iterable

from controller.core.values import Key
from controller.environments.factory import OpenEnvironment
from controller.errors import StoppedError


def find_prunable(environments: Iterable[OpenEnvironment], max_share: float) -> list[Key]:
    """Return the ModelServices of some environments that no file declares any more.

    Raises StoppedError when one environment would lose more than the share `max_share` (0 to 1) of its known
    ModelServices. A single ModelService may always be pruned.
    """
    found: list[Key] = []
    for environment in environments:
        removed = environment.find_removed_specs()
        known = len(removed) + len(environment.contexts) - 1
        if len(removed) > 1 and len(removed) > max_share * known:
            raise StoppedError(
                f"{len(removed)} of {known} ModelServices would be deleted,"
                f" more than --max-prune {max_share:.0%} allows",
                where=f"environment {environment.name}",
                why=", ".join(owner.name for owner in removed),
                hint="restore their files, or raise --max-prune",
            )
        found += removed
    return found
