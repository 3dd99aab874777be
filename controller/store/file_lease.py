"""A lease on one machine: a file lock that the kernel releases when its process ends."""

from __future__ import annotations

import fcntl
import json
import os
import socket
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

from controller.errors import LeaseHeldError, LeaseLostError, StoreError


@dataclass(frozen=True)
class LeaseHolder:
    """The holder of a lease: process, host, and since when (RFC 3339, UTC)."""

    pid: int
    host: str
    since: str

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}, since {self.since}"


class FileLease:
    """A lease on the file `path`, held from `acquire` to `release` or to the process's end, kill -9 included.

    `now` returns the time as RFC 3339 text. Use it as a context manager, or call both methods.
    """

    def __init__(self, path: Path, *, now: Callable[[], str]) -> None:
        self.path, self._now = path, now
        self._descriptor: int | None = None

    def acquire(self) -> None:
        """Take the lease. Raises LeaseHeldError, whose holder is surely alive, or StoreError."""
        if self._descriptor is not None:
            return
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StoreError("the lease's file can't be opened", where=str(self.path), why=str(error)) from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(descriptor)
            raise LeaseHeldError(
                "another controller is working here",
                where=str(self.path),
                why=f"the lease is held by {_read_holder(self.path) or 'a process that has not written its name yet'}",
                hint="wait until it has finished, or stop it",
            ) from error
        # The file stays after the release: removing it would let two processes lock two files of one name.
        os.ftruncate(descriptor, 0)
        holder = LeaseHolder(os.getpid(), socket.gethostname(), self._now())
        os.pwrite(descriptor, json.dumps(asdict(holder)).encode(), 0)
        self._descriptor = descriptor

    def renew(self) -> None:
        """Check that the lease is held: the kernel renews it. Raises LeaseLostError if it isn't."""
        if not self.held:
            raise LeaseLostError("the lease isn't held", where=str(self.path))

    @property
    def held(self) -> bool:
        """Whether this process holds it."""
        return self._descriptor is not None

    def release(self) -> None:
        """Release the lease; fine if it isn't held."""
        if self._descriptor is not None:
            os.ftruncate(self._descriptor, 0)
            # Closing alone leaves the lock with a child that was just forked and still has our descriptors.
            fcntl.flock(self._descriptor, fcntl.LOCK_UN)
            os.close(self._descriptor)
            self._descriptor = None

    def __enter__(self) -> Self:
        self.acquire()
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


def _read_holder(path: Path) -> LeaseHolder | None:
    try:
        return LeaseHolder(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None  # it has just taken the lock and has not written yet
