"""One hop of the way back, and the names that several hops go by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from controller.core.values import Value

HOPS = ("route", "task", "image", "version", "job", "data", "commit")
VERSION_LABEL = "dev.moorage.model-version"
"""The label of a container that says which version it serves."""
NOT_MADE_BY_MOORAGE = "Moorage didn't make it"
_CONTAINER = "server"


@dataclass(frozen=True)
class Hop:
    """One of `HOPS`: what AWS knows it by, what is told of it, and what is wrong with it, empty where nothing is."""

    kind: str
    id: str = ""
    facts: Mapping[str, Value] = field(default_factory=dict)
    problem: str = ""


def find_server_container(containers: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    """Our container; where somebody else's image is served, the first there is."""
    ours = (container for container in containers if container.get("name") == _CONTAINER)
    return next(ours, containers[0] if containers else {})
