"""From the options to a source of specs."""

from __future__ import annotations

from controller.cli.options import Files, Place, Remote
from controller.errors import UsageError
from controller.runtime.git import Address, Git
from controller.runtime.source import Directory, Source


def open_source(files: Files, remote: Remote, place: Place, *, interval: float = 60.0) -> Source:
    """The source that the options name; a remote is asked every `interval` seconds. Raises UsageError."""
    if remote.source:
        address = Address.parse(remote.source)
        return Git(address, place.home / "cache", interval=interval, signers=remote.allowed_signers)
    if remote.allowed_signers is not None:
        raise UsageError("--allowed-signers goes with --source", why="only commits are signed")
    return Directory(files.file)
