"""One hop of the lineage, and the names that several hops share."""

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
    """One of `HOPS`: its id in AWS, its facts, and its problem, empty if there is none."""

    kind: str
    id: str = ""
    facts: Mapping[str, Value] = field(default_factory=dict)
    problem: str = ""


def find_server_container(containers: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    """Return our container; for an imported image, the first one."""
    ours = (container for container in containers if container.get("name") == _CONTAINER)
    return next(ours, containers[0] if containers else {})
