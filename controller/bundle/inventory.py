"""What is installed in an image that somebody else made: Debian packages and Python packages, read from its layers.

The layers are streamed, from the lowest to the highest, and only package databases are kept of them: nothing is
extracted. What an image holds never changes, so an inventory is kept under its digest. One that can't be read is no
reason not to build on the image: the inventory says so.
"""

from __future__ import annotations

import contextlib
import gzip
import json
import re
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from email.parser import HeaderParser
from hashlib import sha256
from pathlib import Path
from typing import IO, Literal, cast
from uuid import uuid4

from controller.bundle.publish import Repository
from controller.bundle.tar import TarError
from controller.bundle.tar_walk import walk
from controller.errors import BundleError

# To be raised with every change to what is read.
_FORMAT = 1
_LARGEST_LAYERS = 4 * 2**30  # plain bytes of all layers together
_LARGEST_KEPT = 64 * 2**20  # bytes of all databases together
_MOST = 20_000  # packages
_PACKED = "application/vnd.oci.image.layer.v1.tar+gzip"
_DOCKER = "application/vnd.docker.image.rootfs.diff.tar.gzip"
_PLAIN = "application/vnd.oci.image.layer.v1.tar"

_DPKG = "var/lib/dpkg/status"
# Distroless images have one file for each package.
_DPKG_PARTS = re.compile(r"var/lib/dpkg/status\.d/[^/.]+")
_METADATA = re.compile(r"(.+/)?[^/]+\.dist-info/METADATA")
_RELEASES = ("etc/os-release", "usr/lib/os-release")
_WHITEOUT = ".wh."
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9+._-]{0,199}")
_VERSION = re.compile(r"[0-9A-Za-z][0-9A-Za-z.+~:!_-]{0,199}")


@dataclass(frozen=True, order=True)
class Package:
    """One package, as its own ecosystem names it."""

    kind: Literal["deb", "generic", "pypi"]
    name: str
    version: str
    architecture: str = ""


@dataclass(frozen=True)
class Inventory:
    """The packages; the distribution they are of (`debian-12`), empty where none says; and why more is not known, if so."""

    packages: tuple[Package, ...] = ()
    distribution: str = ""
    gap: str = ""


class _UnreadError(Exception):
    """An image's layers can't be read; the text says why."""


def take(source: Repository, manifest: bytes, config: bytes, cache: Path) -> Inventory:
    """Take the inventory of an image, or the one kept in the directory `cache`.

    Raise BundleError if a layer isn't what its digest says, and whatever the repository raises.
    """
    kept = cache / f"inventory-{_FORMAT}-{sha256(manifest).hexdigest()}.json"
    with contextlib.suppress(OSError, ValueError, TypeError, KeyError):
        return _from_text(kept.read_text())
    found = _taken(source, manifest, config)
    unfinished = cache / f".{uuid4().hex}"
    with contextlib.suppress(OSError):  # it will be read again
        cache.mkdir(parents=True, exist_ok=True)
        unfinished.write_text(json.dumps(asdict(found)))
        unfinished.replace(kept)
    return found


def _from_text(text: str) -> Inventory:
    found = json.loads(text)
    return Inventory(tuple(Package(**one) for one in found["packages"]), found["distribution"], found["gap"])


def _taken(source: Repository, manifest: bytes, config: bytes) -> Inventory:
    try:
        return _read(_databases(source, json.loads(manifest)["layers"]), config)
    except _UnreadError as error:
        return Inventory(gap=f"its layers were not read: {error}")


def _databases(source: Repository, layers: Sequence[Mapping[str, str]]) -> dict[str, bytes]:
    """The files of all layers, one over the other, that tell of packages."""
    files: dict[str, bytes] = {}
    room = _LARGEST_LAYERS
    for layer in layers:
        with source.fetch(layer["digest"]) as body:
            pieces = _Pieces(layer["digest"], body.chunks())
            found, hidden, room = _layer(pieces, layer["mediaType"], room)
        files = {path: text for path, text in files.items() if not hidden(path)} | found
        if sum(map(len, files.values())) > _LARGEST_KEPT:
            raise _UnreadError("its package databases are too large")
    return files


class _Pieces:
    """A blob's bytes as a stream, held against its digest; `rest` reads what is left of it."""

    def __init__(self, digest: str, pieces: Iterator[bytes]) -> None:
        self._digest, self._pieces, self._left, self._sum = digest, pieces, b"", sha256()

    def read(self, size: int = -1) -> bytes:
        """Return up to `size` bytes; none at the end."""
        if not self._left:
            self._left = next(self._pieces, b"")
            self._sum.update(self._left)
        taken, self._left = (self._left, b"") if size < 0 else (self._left[:size], self._left[size:])
        return taken

    def rest(self) -> None:
        """Read on to the end. Raise BundleError if the bytes aren't those of the digest."""
        while self.read():
            pass
        found = f"sha256:{self._sum.hexdigest()}"
        if found != self._digest:
            raise BundleError(
                "the base image's registry gave other bytes than its manifest names",
                where=self._digest,
                why=f"they are {found}",
                hint="try again; if it stays so, choose another image.base",
            )


class _Counted:
    """A stream of at most so many bytes."""

    def __init__(self, stream: IO[bytes], room: int) -> None:
        self._stream, self.room = stream, room

    def read(self, size: int, /) -> bytes:
        """Return up to `size` bytes."""
        data = self._stream.read(size)
        self.room -= len(data)
        if self.room < 0:
            raise _UnreadError(f"they have more than {_LARGEST_LAYERS >> 30} GiB")
        return data


class _Hidden:
    """What a layer takes away from those below: paths, all below some directories."""

    def __init__(self) -> None:
        self.paths: set[str] = set()

    def add(self, whiteout: str) -> None:
        """Note a whiteout file.

        Source: https://github.com/opencontainers/image-spec/blob/v1.1.1/layer.md#whiteouts
        """
        directory, _, name = whiteout.rpartition("/")
        gone = "" if name == ".wh..wh..opq" else name.removeprefix(_WHITEOUT)
        self.paths.add("/".join(filter(None, (directory, gone))))

    def __call__(self, path: str) -> bool:
        """Tell whether a file of a lower layer is hidden."""
        parts = path.split("/")
        return any("/".join(parts[:depth]) in self.paths for depth in range(1, len(parts) + 1))


def _layer(pieces: _Pieces, media_type: str, room: int) -> tuple[dict[str, bytes], _Hidden, int]:
    """Return a layer's databases by path, what it hides, and how many plain bytes may still follow."""
    if media_type not in (_PACKED, _DOCKER, _PLAIN):
        raise _UnreadError(f"one is of type {media_type}")
    raw = cast("IO[bytes]", pieces)
    plain = _Counted(raw if media_type == _PLAIN else cast("IO[bytes]", gzip.GzipFile(fileobj=raw, mode="rb")), room)
    found, hidden = {}, _Hidden()
    try:
        for path, content in walk(plain, _wanted):
            if path.rpartition("/")[2].startswith(_WHITEOUT):
                hidden.add(path)
            elif _wanted(path):
                found[path] = content
    except (TarError, EOFError, OSError, zlib.error) as error:
        pieces.rest()
        raise _UnreadError(str(error)) from error
    pieces.rest()
    return found, hidden, plain.room


def _wanted(path: str) -> int:
    """How many bytes to keep of a file."""
    if path == _DPKG:
        return _LARGEST_KEPT
    if path in _RELEASES or _DPKG_PARTS.fullmatch(path) or _METADATA.fullmatch(path):
        return 64 * 2**10
    return 0


def _read(files: Mapping[str, bytes], config: bytes) -> Inventory:
    texts = {path: content.decode("utf-8", "replace") for path, content in files.items()}
    databases = [text for path, text in texts.items() if path == _DPKG or _DPKG_PARTS.fullmatch(path)]
    found = {package for text in databases for package in _debian(text)}
    found |= {package for path, text in texts.items() if _METADATA.fullmatch(path) for package in _python(text)}
    found |= set(_interpreter(config))
    if len(found) > _MOST:
        raise _UnreadError(f"they have more than {_MOST:,} packages")
    gap = "" if databases else "it has no dpkg database: of its system's packages nothing is known"
    return Inventory(tuple(sorted(found)), _distribution(texts), gap)


def _debian(text: str) -> Iterator[Package]:
    """The installed packages of a dpkg database.

    Source: https://manpages.debian.org/bookworm/dpkg/dpkg.1.en.html
    """
    for stanza in text.split("\n\n"):
        told = dict(line.split(": ", 1) for line in stanza.splitlines() if ": " in line and not line[0].isspace())
        name, version = told.get("Package", ""), told.get("Version", "")
        installed = told.get("Status", "install ok installed").endswith(" installed")
        if installed and _NAME.fullmatch(name) and _VERSION.fullmatch(version):
            architecture = told.get("Architecture", "")
            yield Package("deb", name, version, architecture if _NAME.fullmatch(architecture) else "")


def _python(text: str) -> Iterator[Package]:
    """The package of a METADATA file.

    Source: https://packaging.python.org/specifications/core-metadata
    """
    told = HeaderParser().parsestr(text.partition("\n\n")[0])
    name, version = str(told["Name"] or ""), str(told["Version"] or "")
    if _NAME.fullmatch(name) and _VERSION.fullmatch(version):
        yield Package("pypi", re.sub(r"[-_.]+", "-", name).lower(), version)


def _interpreter(config: bytes) -> Iterator[Package]:
    """The Python that the official images build from source, and no package database knows."""
    environment = (json.loads(config).get("config") or {}).get("Env") or ()
    for entry in environment:
        name, _, version = str(entry).partition("=")
        if name == "PYTHON_VERSION" and _VERSION.fullmatch(version):
            yield Package("generic", "python", version)


def _distribution(texts: Mapping[str, str]) -> str:
    """`ID-VERSION_ID` of os-release.

    Source: https://www.freedesktop.org/software/systemd/man/latest/os-release.html
    """
    text = next((texts[path] for path in _RELEASES if path in texts), "")
    told = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
    parts = [told.get(name, "").strip("\"'") for name in ("ID", "VERSION_ID")]
    return "-".join(part for part in parts if _VERSION.fullmatch(part))
