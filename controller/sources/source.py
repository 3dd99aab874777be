"""Where specs come from. A source is read as a whole; that something may have changed is all that its watch says."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from watchfiles import Change, awatch

from controller.sources.snapshots import Snapshot, author_of, build_snapshot, commit_of
from controller.spec.load import load_specs

# How often the set of watched directories is compared with what the specs name by now, in milliseconds.
_POLL_SECONDS = 5_000


class Source(Protocol):
    """Specs and their data."""

    name: str

    async def read(self) -> Snapshot:
        """What is declared now. Raises SpecError, and SourceError when it can't be read at all."""

    async def watch(self, changed: Callable[[], None]) -> None:
        """Call `changed` whenever reading again may give something else, until cancelled."""


def read_now(source: Source) -> Snapshot:
    """What a source declares now, for who only asks once. Raises SpecError and SourceError."""
    return asyncio.run(source.read())


class DirectorySource:
    """Files and directories of this machine, as `-f` names them."""

    def __init__(self, named: Sequence[Path]) -> None:
        self.name = ", ".join(map(str, named))
        self._named = tuple(named)
        self._data: frozenset[Path] = frozenset()

    async def read(self) -> Snapshot:
        """Read all of it. Raises SpecError with every problem."""
        return await asyncio.to_thread(self._read)

    async def watch(self, changed: Callable[[], None]) -> None:
        """Follow the file system: the specs, and the directories that hold the data they name."""
        while True:
            watched = self._watched()
            try:
                async for changes in awatch(
                    *watched,
                    watch_filter=_fingerprint_files(watched),
                    rust_timeout=_POLL_SECONDS,
                    yield_on_timeout=True,
                ):
                    if changes:
                        changed()
                    if self._watched() != watched:
                        break
            except OSError:
                # A directory went away, or too many are watched on this machine: look from time to time.
                await asyncio.sleep(_POLL_SECONDS / 1000)
                changed()

    def _read(self) -> Snapshot:
        specs = load_specs(self._named)
        services = specs.services.values()
        named = ((one, one.model.spec.data.source) for one in services if one.model.spec.data)
        self._data = frozenset(Path(one.resolve_path(source)).parent for one, source in named if source is not None)
        first = self._named[0]
        place = first if first.is_dir() else first.parent
        commit = commit_of(place)
        return build_snapshot(specs, commit, author_of(place, commit))

    def _watched(self) -> list[Path]:
        places = {path if path.is_dir() else path.parent for path in self._named} | self._data
        return sorted({place.resolve() for place in places if place.is_dir()})


def _fingerprint_files(roots: Sequence[Path]) -> Callable[[Change, str], bool]:
    """What counts: nothing in hidden directories, such as our own state; `..data` is how ConfigMaps are switched."""

    def seen(_: Change, name: str) -> bool:
        for root in roots:
            if Path(name).is_relative_to(root):
                parts = Path(name).relative_to(root).parts
                return not any(part.startswith(".") and not part.startswith("..") for part in parts)
        return True

    return seen
