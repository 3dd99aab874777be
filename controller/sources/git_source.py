"""Specs from a Git remote, `git+URL@REF[:PATH]`, polled.

A commit is fetched into a bare repository and read from blobs.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
import posixpath
import random
import shutil
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import structlog

from controller.aws.session import is_loopback
from controller.errors import MoorageError, SourceError, UsageError
from controller.sources.git_tree import CommitTree
from controller.sources.signature import verify
from controller.sources.snapshots import Snapshot

# The timeout of a whole fetch, in seconds; then it is killed.
_FETCH_TIMEOUT_SECONDS = 180.0
_ROOT = str(Path(__file__).resolve().parents[2])
log = structlog.get_logger()


@dataclass(frozen=True)
class GitAddress:
    """A remote, a ref in it, and a path below the ref."""

    url: str
    ref: str
    path: str

    @classmethod
    def parse(cls, text: str) -> GitAddress:
        """Parse `git+URL@REF[:PATH]`. Raises UsageError."""
        url, at, rest = text.removeprefix("git+").rpartition("@")
        ref, _, path = rest.partition(":")
        parts = urlsplit(url)
        plain = posixpath.normpath(path).strip("/") if path else ""
        problems = {
            "it doesn't begin with git+": not text.startswith("git+"),
            "REF is missing": not (at and ref and parts.path.strip("/")),
            "use https, ssh or file": not (
                parts.scheme in ("https", "ssh", "file") or (parts.scheme == "http" and is_loopback(url))
            ),
            "a password or token doesn't belong there: set MOORAGE_GIT_TOKEN": bool(
                parts.password or (parts.username and parts.scheme != "ssh")
            ),
            "PATH leads out of the repository": plain == ".." or plain.startswith("../"),
        }
        problem = next((problem for problem, found in problems.items() if found), "")
        if problem:
            raise UsageError(
                "--source isn't git+URL@REF[:PATH]", why=problem, hint="git+https://host/repository@main:specs"
            )
        return cls(url, ref, "" if plain == "." else plain)

    def __str__(self) -> str:
        return f"{self.url}@{self.ref}{':' if self.path else ''}{self.path}"


class GitSource:
    """A source on a Git remote.

    `cache` keeps the last fetched and the last good commit. `interval` is in seconds. `signers` is a file of the
    signers whose commits are accepted; None accepts every commit.
    """

    def __init__(
        self, address: GitAddress, cache: Path, *, interval: float = 60.0, signers: Path | None = None
    ) -> None:
        self.name = str(address)
        self._address, self._interval, self._signers = address, interval, signers
        self._cache = cache / "git" / hashlib.sha256(f"{address.url}@{address.ref}".encode()).hexdigest()[:16]
        self._found = ""
        self._last: Snapshot | MoorageError | None = None

    async def read(self) -> Snapshot:
        """Return what the ref declares now. Raises SourceError and SpecError.

        If the remote is unreachable at the start, returns the last good commit.
        """
        try:
            answer = await self._fetch()
        except SourceError as error:
            kept = self._cached_commit() if self._last is None else None
            if kept is None:
                raise
            log.warning("source", error=str(error), hint=f"continuing with commit {kept.commit}")
            return await asyncio.to_thread(kept.snapshot, self._address.path)
        if "unchanged" not in answer:
            self._found = answer["found"]
            self._last = await asyncio.to_thread(self._read_commit, answer["commit"])
        if isinstance(self._last, Snapshot):
            return self._last
        raise self._last or SourceError("no commit was read before", where=self.name)

    async def watch(self, changed: Callable[[], None]) -> None:
        """Poll the remote, each time a little earlier or later than the interval."""
        while True:
            await asyncio.sleep(self._interval * (0.9 + random.random() / 5))  # noqa: S311  (no secret)
            changed()

    def _read_commit(self, commit: str) -> Snapshot | MoorageError:
        """Read a fetched commit; a good one replaces the last good one."""
        place = self._cache / commit
        shutil.rmtree(place, ignore_errors=True)
        (self._cache / "next").rename(place)
        try:
            checkout = CommitTree(place, commit)
            if self._signers is not None:
                signer = verify(*checkout.signed(), self._signers, commit)
                log.info("signed", commit=commit, signer=signer)
            snapshot = checkout.snapshot(self._address.path)
        except MoorageError as error:
            shutil.rmtree(place, ignore_errors=True)
            return error
        (self._cache / "good").write_text(commit)
        for other in self._cache.iterdir():
            if other.is_dir() and other != place:
                shutil.rmtree(other, ignore_errors=True)
        return snapshot

    def _cached_commit(self) -> CommitTree | None:
        """Return the last good commit of an earlier run."""
        try:
            commit = (self._cache / "good").read_text()
            return CommitTree(self._cache / commit, commit)
        except (OSError, ValueError):
            return None

    async def _fetch(self) -> dict[str, str]:
        """Run `git_fetch` in a process group of its own, so that its child processes end with it."""
        self._cache.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(self._cache / "next", ignore_errors=True)
        path = os.pathsep.join(filter(None, (_ROOT, os.environ.get("PYTHONPATH", ""))))
        ssh = os.environ.get("GIT_SSH_COMMAND", "ssh -o BatchMode=yes -o ConnectTimeout=15")
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-m", "controller.sources.git_fetch"),
            *(self._address.url, self._address.ref, str(self._cache / "next"), self._found),
            env={**os.environ, "PYTHONPATH": path, "GIT_SSH_COMMAND": ssh, "GIT_TERMINAL_PROMPT": "0"},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
        )
        try:
            out, err = await asyncio.wait_for(process.communicate(), _FETCH_TIMEOUT_SECONDS)
        except TimeoutError as error:
            raise SourceError(
                "it can't be read", where=self.name, why=f"no answer within {_FETCH_TIMEOUT_SECONDS:.0f} s"
            ) from error
        finally:
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                await process.wait()
        try:
            answer: dict[str, str] = json.loads(out)
        except ValueError:
            last = err.decode("utf-8", "replace").strip().splitlines()[-1:]
            answer = {"error": f"the fetch ended with {process.returncode}: {''.join(last)}"}
        if "error" in answer:
            raise SourceError("it can't be read", where=self.name, why=answer["error"])
        return answer
