"""Open the source of specs that the options name."""

from __future__ import annotations

from controller.cli.options import BackendOptions, FileOptions, SourceOptions
from controller.errors import UsageError
from controller.sources.git_source import GitAddress, GitSource
from controller.sources.source import DirectorySource, Source


def open_source(files: FileOptions, remote: SourceOptions, place: BackendOptions, *, interval: float = 60.0) -> Source:
    """Return the source that the options name; a Git source fetches every `interval` seconds.

    Raises UsageError when the options contradict each other or the address is malformed.
    """
    if remote.source:
        address = GitAddress.parse(remote.source)
        return GitSource(address, place.home / "cache", interval=interval, signers=remote.allowed_signers)
    if remote.allowed_signers is not None:
        raise UsageError("--allowed-signers needs --source", why="only Git commits are signed", hint="add --source")
    return DirectorySource(files.file)
