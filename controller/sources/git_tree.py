"""The files of one fetched commit: specs and their data, read from blobs.

Links aren't followed, and no path leads out.
"""

from __future__ import annotations

import json
import posixpath
from pathlib import Path

from dulwich.objects import Commit, ObjectID
from dulwich.repo import Repo

from controller.errors import DataError, Problem, SourceError
from controller.sources.snapshots import Snapshot, build_snapshot
from controller.spec.files import MAX_DATA_BYTES, MAX_SPEC_BYTES, SUFFIXES, decode_source
from controller.spec.load import load_sources
from controller.spec.source_file import SourceFile

# What Git LFS stores in place of a file, https://github.com/git-lfs/git-lfs/blob/main/docs/spec.md
_POINTER = b"version https://git-lfs.github.com/spec/"
_REFUSED = {
    "link": ("a symbolic link", "put the file itself there: links are not followed in a commit"),
    "submodule": ("a submodule", "put the files themselves into this repository"),
    "odd": ("not a name that a file may have", "rename it"),
}


class CommitTree:
    """A bare repository with one commit, as `git_fetch` leaves it."""

    def __init__(self, directory: Path, commit: str) -> None:
        self.commit, self._directory = commit, directory
        self._entries: dict[str, tuple[str, str, int]] = {
            path: (kind, sha, size)
            for path, (kind, sha, size) in json.loads((directory / "listing.json").read_text()).items()
        }

    def snapshot(self, path: str) -> Snapshot:
        """Return the snapshot of the specs below `path`. Raises SpecError with every problem."""
        problems: list[Problem] = []
        sources = [found for name in self._specs(path) if (found := self._source(name, problems))]
        return build_snapshot(load_sources(sources, problems, path or "the repository"), self.commit, self.author())

    def read(self, path: str) -> bytes:
        """Return a data file by its path from the repository's root. Raises DataError."""
        name = posixpath.normpath(path)
        if name.startswith(("../", "/")) or name == "..":
            raise DataError("this leads out of the repository", where=path)
        kind, sha, size = self._entries.get(name, ("", "", 0))
        if kind != "file":
            what = _REFUSED[kind][0] if kind else "not in this commit"
            raise DataError(f"this is {what}", where=path, why=f"commit {self.commit[:12]}")
        if size > MAX_DATA_BYTES:
            raise DataError(f"the file has {size:,} bytes; at most {MAX_DATA_BYTES:,} are read", where=path)
        content = self._blob(sha)
        if content.startswith(_POINTER):
            raise DataError("this is a pointer of Git LFS", where=path, hint="name the data in S3, or commit the file")
        return content

    def signed(self) -> tuple[bytes, bytes]:
        """Return what the commit's signature covers, and the signature; empty if it has none."""
        commit = self._commit()
        return commit.raw_without_sig(), commit.gpgsig or b""

    def author(self) -> str:
        """Return the author of the commit, as `NAME <ADDRESS>`."""
        author: bytes = self._commit().author
        return author.decode("utf-8", "replace")

    def _commit(self) -> Commit:
        with Repo(str(self._directory)) as repository:
            commit = repository.object_store[ObjectID(self.commit.encode())]
            if not isinstance(commit, Commit):
                raise SourceError("this is no commit", where=self.commit)
            return commit

    def _specs(self, path: str) -> list[str]:
        below = f"{path}/" if path else ""
        return sorted(
            name
            for name in self._entries
            if name == path
            or (
                name.startswith(below)
                and name.endswith(SUFFIXES)
                and not any(part.startswith(".") for part in name.removeprefix(below).split("/"))
            )
        )

    def _source(self, name: str, problems: list[Problem]) -> SourceFile | None:
        kind, sha, size = self._entries[name]
        if kind != "file":
            problems.append(Problem(name, 1, 1, *_REFUSED[kind]))
            return None
        # The file is too large to read; its size alone decides the error.
        content = self._blob(sha) if size <= MAX_SPEC_BYTES else b" " * (MAX_SPEC_BYTES + 1)
        return decode_source(content, name, self.read, problems)

    def _blob(self, sha: str) -> bytes:
        with Repo(str(self._directory)) as repository:
            return repository.object_store[ObjectID(sha.encode())].as_raw_string()
