"""What the server needs at run time, as files of the distributions installed here: nothing more goes into the image.

Every file is named with the SHA-256 that its wheel recorded, so a closure is identified without reading it, and what
was changed since its installation is refused. numpy and scipy stay out: the server calls libxgboost directly.
"""

from __future__ import annotations

import base64
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from importlib.metadata import Distribution, PackageNotFoundError, PackagePath, distribution
from importlib.util import find_spec
from pathlib import Path, PurePosixPath
from platform import machine

from controller.errors import BundleError

ROOTS = ("aiohttp", "orjson", "prometheus-client", "structlog", "uvloop")
LIBRARY = "xgboost-cpu"
SERVER = "inference_server"
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}

_NAME = re.compile(r"[A-Za-z0-9._-]+")
# Sources and stubs that no import reads, and what an installer leaves behind that differs from machine to machine.
_UNUSED = {".c", ".h", ".pxd", ".pxi", ".pyc", ".pyi", ".pyx"}
_INSTALLERS = {"RECORD", "INSTALLER", "REQUESTED", "direct_url.json"}
_AGAIN = "install again: make setup"


@dataclass(frozen=True, order=True)
class File:
    """One file for the image: `path` below the directory of packages, `sha256` in hex, `source` where it is now."""

    path: str
    sha256: str
    source: Path

    def read(self) -> bytes:
        """Return the content. Raise BundleError if it isn't what the installed package recorded."""
        try:
            content = self.source.read_bytes()
        except OSError as error:
            raise BundleError("an installed file is gone", where=str(self.source), hint=_AGAIN) from error
        if sha256(content).hexdigest() != self.sha256:
            raise BundleError("an installed file was changed", where=str(self.source), hint=_AGAIN)
        return content


@dataclass(frozen=True)
class Runtime:
    """What compiled files were built for; the base image must offer the same. `python` like 3.11, `architecture` like amd64."""

    python: str
    architecture: str


def runtime() -> Runtime:
    """Return what the installed distributions were built for. Raise BundleError where no image can be made of them."""
    if sys.platform != "linux" or machine() not in ARCHITECTURES:
        raise BundleError(
            f"the packages installed here are for {sys.platform} on {machine()}",
            why="an image needs those for Linux on x86_64 or aarch64",
            hint="run moorage in a Linux container",
        )
    return Runtime(f"{sys.version_info.major}.{sys.version_info.minor}", ARCHITECTURES[machine()])


def dependencies() -> tuple[File, ...]:
    """Return the files of the server's requirements and theirs, and of xgboost-cpu the library alone; sorted by path."""
    files = {file for package in _required() for file in _files(package)}
    files |= {file for file in _files(_installed(LIBRARY)) if _of_library(file.path)}
    return tuple(sorted(files))


def server() -> tuple[File, ...]:
    """Return the files of the inference server's package, sorted by path."""
    spec = find_spec(SERVER)  # finds a top-level package without importing it
    if spec is None or not spec.submodule_search_locations:
        raise BundleError(f"no package {SERVER!r} is installed", hint=_AGAIN)
    root = Path(spec.submodule_search_locations[0])
    sources = (
        path for path in root.rglob("*") if path.is_file() and not _skipped(PurePosixPath(path.relative_to(root)))
    )
    return tuple(
        sorted(
            File(f"{SERVER}/{source.relative_to(root).as_posix()}", sha256(source.read_bytes()).hexdigest(), source)
            for source in sources
        )
    )


def _required() -> list[Distribution]:
    """Follow requirements from ROOTS. Extras are not followed; one for another Python is one that isn't installed here."""
    found: dict[str, Distribution] = {}
    todo = [(name, True) for name in ROOTS]
    while todo:
        name, must = todo.pop()
        key = re.sub(r"[-_.]+", "-", name).lower()
        if key in found:
            continue
        package = _installed(name, must=must)
        if package is None:
            continue
        found[key] = package
        for requirement in package.requires or ():
            wanted, _, marker = requirement.partition(";")
            match = _NAME.match(wanted)
            if match and "extra" not in marker:
                todo.append((match[0], not marker))
    return list(found.values())


def _installed(name: str, *, must: bool = True) -> Distribution | None:
    try:
        return distribution(name)
    except PackageNotFoundError as error:
        if must:
            raise BundleError(f"the server needs {name!r}, which isn't installed", hint=_AGAIN) from error
        return None


def _files(package: Distribution | None) -> Iterator[File]:
    for path in (package and package.files) or ():
        # What lies outside the directory of packages is a console script, which an image has no use for.
        if ".." not in path.parts and not path.is_absolute() and not _skipped(path):
            yield File(path.as_posix(), _recorded(path), Path(str(path.locate())))


def _recorded(path: PackagePath) -> str:
    if path.hash is None or path.hash.mode != "sha256":
        raise BundleError("an installed file has no recorded SHA-256", where=str(path), hint=_AGAIN)
    return base64.urlsafe_b64decode(path.hash.value + "=").hex()


def _skipped(path: PurePosixPath) -> bool:
    hidden = any(part == "__pycache__" or part.startswith(".") for part in path.parts)
    left_behind = path.name in _INSTALLERS and path.parent.suffix == ".dist-info"
    return hidden or path.suffix in _UNUSED or left_behind


def _of_library(path: str) -> bool:
    top = path.partition("/")[0]
    return path.startswith("xgboost/lib/") or top == "xgboost_cpu.libs" or top.endswith(".dist-info")
