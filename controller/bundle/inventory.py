"""List the packages in a base image: Debian packages and Python packages, read from its layers.

The layers are streamed, from the lowest to the highest, and only package databases are kept: nothing is extracted. The
content of an image never changes, so an inventory is cached under its digest. An image whose layers can't be read may
still be used as a base: the inventory says that its packages are unknown.
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

from controller.bundle.publish import ContainerRepository
from controller.bundle.tar_reader import TarError
from controller.bundle.tar_walk import walk_files
from controller.errors import BundleError

# Increase this number with every change to what is read.
_CACHE_FORMAT = 1
_MAX_LAYER_BYTES = 4 * 2**30  # plain bytes of all layers together
_MAX_DATABASE_BYTES = 64 * 2**20  # bytes of all databases together
_MAX_PACKAGES = 20_000  # packages
_OCI_GZIP_LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
_DOCKER_GZIP_LAYER = "application/vnd.docker.image.rootfs.diff.tar.gzip"
_OCI_TAR_LAYER = "application/vnd.oci.image.layer.v1.tar"

_DPKG_STATUS = "var/lib/dpkg/status"
# Distroless images have one file for each package.
_DPKG_STATUS_DIRECTORY = re.compile(r"var/lib/dpkg/status\.d/[^/.]+")
_PYTHON_METADATA = re.compile(r"(.+/)?[^/]+\.dist-info/METADATA")
_OS_RELEASE_FILES = ("etc/os-release", "usr/lib/os-release")
_WHITEOUT = ".wh."
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9+._-]{0,199}")
_VERSION = re.compile(r"[0-9A-Za-z][0-9A-Za-z.+~:!_-]{0,199}")


@dataclass(frozen=True, order=True)
class Package:
    """One package, named as in its own ecosystem."""

    kind: Literal["deb", "generic", "pypi"]
    name: str
    version: str
    architecture: str = ""


@dataclass(frozen=True)
class Inventory:
    """The packages; their distribution (`debian-12`), empty if unknown.

    And why the inventory is incomplete, if it is.
    """

    packages: tuple[Package, ...] = ()
    distribution: str = ""
    gap: str = ""


class _UnreadableLayersError(Exception):
    """Raised if an image's layers can't be read; the message says why."""


def read_inventory(source: ContainerRepository, manifest: bytes, config: bytes, cache: Path) -> Inventory:
    """Return the inventory of an image, from the directory `cache` if it is there.

    Raises BundleError if a layer doesn't have its digest, and the errors of the repository.
    """
    kept = cache / f"inventory-{_CACHE_FORMAT}-{sha256(manifest).hexdigest()}.json"
    with contextlib.suppress(OSError, ValueError, TypeError, KeyError):
        return _from_text(kept.read_text())
    found = _read_layers(source, manifest, config)
    unfinished = cache / f".{uuid4().hex}"
    with contextlib.suppress(OSError):  # it will be read again
        cache.mkdir(parents=True, exist_ok=True)
        unfinished.write_text(json.dumps(asdict(found)))
        unfinished.replace(kept)
    return found


def _from_text(text: str) -> Inventory:
    found = json.loads(text)
    return Inventory(tuple(Package(**one) for one in found["packages"]), found["distribution"], found["gap"])


def _read_layers(source: ContainerRepository, manifest: bytes, config: bytes) -> Inventory:
    try:
        return _parse_databases(_collect_databases(source, json.loads(manifest)["layers"]), config)
    except _UnreadableLayersError as error:
        return Inventory(gap=f"its layers were not read: {error}")


def _collect_databases(source: ContainerRepository, layers: Sequence[Mapping[str, str]]) -> dict[str, bytes]:
    """Return the package databases in the merged files of all layers."""
    files: dict[str, bytes] = {}
    room = _MAX_LAYER_BYTES
    for layer in layers:
        with source.fetch_blob(layer["digest"]) as body:
            pieces = _VerifiedReader(layer["digest"], body.chunks())
            found, hidden, room = _read_layer(pieces, layer["mediaType"], room)
        files = {path: text for path, text in files.items() if not hidden(path)} | found
        if sum(map(len, files.values())) > _MAX_DATABASE_BYTES:
            raise _UnreadableLayersError("its package databases are too large")
    return files


class _VerifiedReader:
    """A blob's bytes as a stream, checked against its digest; `verify_rest` reads the remainder."""

    def __init__(self, digest: str, pieces: Iterator[bytes]) -> None:
        self._digest, self._chunks, self._buffer, self._sha256 = digest, pieces, b"", sha256()

    def read(self, size: int = -1) -> bytes:
        """Return up to `size` bytes; none at the end."""
        if not self._buffer:
            self._buffer = next(self._chunks, b"")
            self._sha256.update(self._buffer)
        taken, self._buffer = (self._buffer, b"") if size < 0 else (self._buffer[:size], self._buffer[size:])
        return taken

    def verify_rest(self) -> None:
        """Read to the end. Raises BundleError if the bytes don't have the digest."""
        while self.read():
            pass
        found = f"sha256:{self._sha256.hexdigest()}"
        if found != self._digest:
            raise BundleError(
                "the base image's registry returned other bytes than its manifest names",
                where=self._digest,
                why=f"they are {found}",
                hint="try again; if it stays so, choose another image.base",
            )


class _LimitedReader:
    """A stream of at most so many bytes."""

    def __init__(self, stream: IO[bytes], room: int) -> None:
        self._stream, self.remaining = stream, room

    def read(self, size: int, /) -> bytes:
        """Return up to `size` bytes."""
        data = self._stream.read(size)
        self.remaining -= len(data)
        if self.remaining < 0:
            raise _UnreadableLayersError(f"they have more than {_MAX_LAYER_BYTES >> 30} GiB")
        return data


class _Whiteouts:
    """The files of lower layers that a layer hides: single paths, and everything below some directories."""

    def __init__(self) -> None:
        self.paths: set[str] = set()

    def add(self, whiteout: str) -> None:
        """Add a whiteout file.

        Source: https://github.com/opencontainers/image-spec/blob/v1.1.1/layer.md#whiteouts
        """
        directory, _, name = whiteout.rpartition("/")
        absent = "" if name == ".wh..wh..opq" else name.removeprefix(_WHITEOUT)
        self.paths.add("/".join(filter(None, (directory, absent))))

    def __call__(self, path: str) -> bool:
        """Return whether a file of a lower layer is hidden."""
        parts = path.split("/")
        return any("/".join(parts[:depth]) in self.paths for depth in range(1, len(parts) + 1))


def _read_layer(blob: _VerifiedReader, media_type: str, remaining: int) -> tuple[dict[str, bytes], _Whiteouts, int]:
    """Return a layer's databases by path, the files that it hides, and the remaining limit of plain bytes."""
    if media_type not in (_OCI_GZIP_LAYER, _DOCKER_GZIP_LAYER, _OCI_TAR_LAYER):
        raise _UnreadableLayersError(f"one is of type {media_type}")
    raw = cast("IO[bytes]", blob)
    plain = _LimitedReader(
        raw if media_type == _OCI_TAR_LAYER else cast("IO[bytes]", gzip.GzipFile(fileobj=raw, mode="rb")), remaining
    )
    found, hidden = {}, _Whiteouts()
    try:
        for path, content in walk_files(plain, _bytes_to_keep):
            if path.rpartition("/")[2].startswith(_WHITEOUT):
                hidden.add(path)
            elif _bytes_to_keep(path):
                found[path] = content
    except (TarError, EOFError, OSError, zlib.error) as error:
        blob.verify_rest()
        raise _UnreadableLayersError(str(error)) from error
    blob.verify_rest()
    return found, hidden, plain.remaining


def _bytes_to_keep(path: str) -> int:
    """Return how many bytes of a file to keep."""
    if path == _DPKG_STATUS:
        return _MAX_DATABASE_BYTES
    if path in _OS_RELEASE_FILES or _DPKG_STATUS_DIRECTORY.fullmatch(path) or _PYTHON_METADATA.fullmatch(path):
        return 64 * 2**10
    return 0


def _parse_databases(files: Mapping[str, bytes], config: bytes) -> Inventory:
    texts = {path: content.decode("utf-8", "replace") for path, content in files.items()}
    databases = [text for path, text in texts.items() if path == _DPKG_STATUS or _DPKG_STATUS_DIRECTORY.fullmatch(path)]
    found = {package for text in databases for package in _parse_dpkg(text)}
    found |= {
        package for path, text in texts.items() if _PYTHON_METADATA.fullmatch(path) for package in _parse_metadata(text)
    }
    found |= set(_find_interpreter(config))
    if len(found) > _MAX_PACKAGES:
        raise _UnreadableLayersError(f"they have more than {_MAX_PACKAGES:,} packages")
    gap = "" if databases else "it has no dpkg database: of its system's packages nothing is known"
    return Inventory(tuple(sorted(found)), _parse_os_release(texts), gap)


def _parse_dpkg(text: str) -> Iterator[Package]:
    """Yield the installed packages of a dpkg database.

    Source: https://manpages.debian.org/bookworm/dpkg/dpkg.1.en.html
    """
    for stanza in text.split("\n\n"):
        reported = dict(line.split(": ", 1) for line in stanza.splitlines() if ": " in line and not line[0].isspace())
        name, version = reported.get("Package", ""), reported.get("Version", "")
        installed = reported.get("Status", "install ok installed").endswith(" installed")
        if installed and _NAME.fullmatch(name) and _VERSION.fullmatch(version):
            architecture = reported.get("Architecture", "")
            yield Package("deb", name, version, architecture if _NAME.fullmatch(architecture) else "")


def _parse_metadata(text: str) -> Iterator[Package]:
    """Yield the package of a METADATA file.

    Source: https://packaging.python.org/specifications/core-metadata
    """
    reported = HeaderParser().parsestr(text.partition("\n\n")[0])
    name, version = str(reported["Name"] or ""), str(reported["Version"] or "")
    if _NAME.fullmatch(name) and _VERSION.fullmatch(version):
        yield Package("pypi", re.sub(r"[-_.]+", "-", name).lower(), version)


def _find_interpreter(config: bytes) -> Iterator[Package]:
    """Yield the Python that the official images build from source, which no package database lists."""
    environment = (json.loads(config).get("config") or {}).get("Env") or ()
    for entry in environment:
        name, _, version = str(entry).partition("=")
        if name == "PYTHON_VERSION" and _VERSION.fullmatch(version):
            yield Package("generic", "python", version)


def _parse_os_release(texts: Mapping[str, str]) -> str:
    """Return `ID-VERSION_ID` of os-release.

    Source: https://www.freedesktop.org/software/systemd/man/latest/os-release.html
    """
    text = next((texts[path] for path in _OS_RELEASE_FILES if path in texts), "")
    reported = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
    parts = [reported.get(name, "").strip("\"'") for name in ("ID", "VERSION_ID")]
    return "-".join(part for part in parts if _VERSION.fullmatch(part))
