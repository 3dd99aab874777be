"""From the options to a source of specs."""

from __future__ import annotations

from controller.cli.options import BackendOptions, FileOptions, SourceOptions
from controller.errors import UsageError
from controller.sources.git_source import GitAddress, GitSource
from controller.sources.source import DirectorySource, Source


def open_source(files: FileOptions, remote: SourceOptions, place: BackendOptions, *, interval: float = 60.0) -> Source:
    """The source that the options name; a remote is asked every `interval` seconds. Raises UsageError."""
    if remote.source:
        address = GitAddress.parse(remote.source)
        return GitSource(address, place.home / "cache", interval=interval, signers=remote.allowed_signers)
    if remote.allowed_signers is not None:
        raise UsageError("--allowed-signers goes with --source", why="only commits are signed")
    return DirectorySource(files.file)
