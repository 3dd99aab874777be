"""A table with an entry for each resource type or service, which says what to add if one is missing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

Entry = TypeVar("Entry")


class ConformanceTable(dict[str, Entry]):
    """Entries by resource type or service.

    `name` and `file` say where the table is, `entry` what an entry has to be.
    """

    def __init__(self, name: str, file: str, entry: str, entries: Mapping[str, Entry]) -> None:
        super().__init__(entries)
        self._instruction = f"{name} in {file}: {entry}"

    def __missing__(self, kind: str) -> Entry:
        raise LookupError(f"{kind} needs an entry in {self._instruction} (see CONTRIBUTING.md)")
