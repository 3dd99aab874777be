"""The sources of specs. A source is read as a whole; its watch reports only that something may have changed."""

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
        """Return what is declared now. Raises SpecError, and SourceError if the source can't be read at all."""

    async def watch(self, changed: Callable[[], None]) -> None:
        """Call `changed` whenever another read may give something else, until cancelled."""


def read_now(source: Source) -> Snapshot:
    """Read a source once, outside of an event loop. Raises SpecError and SourceError."""
    return asyncio.run(source.read())


class DirectorySource:
    """Local files and directories, as `-f` names them."""

    def __init__(self, named: Sequence[Path]) -> None:
        self.name = ", ".join(map(str, named))
        self._named = tuple(named)
        self._data: frozenset[Path] = frozenset()

    async def read(self) -> Snapshot:
        """Read all files. Raises SpecError with every problem."""
        return await asyncio.to_thread(self._read)

    async def watch(self, changed: Callable[[], None]) -> None:
        """Watch the file system: the specs, and the directories with the data that they name."""
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
                # A directory disappeared, or this machine watches too many: poll instead.
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
    """Return a filter that ignores hidden directories, such as our own state.

    ConfigMaps are switched by the link `..data`.
    """

    def seen(_: Change, name: str) -> bool:
        for root in roots:
            if Path(name).is_relative_to(root):
                parts = Path(name).relative_to(root).parts
                return not any(part.startswith(".") and not part.startswith("..") for part in parts)
        return True

    return seen
