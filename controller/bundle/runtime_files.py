"""The files that the server needs at run time: those of its locked packages, and its own.

Nothing more goes into the image: numpy and scipy stay out, because the server calls libxgboost directly. The image has
one Python version, whichever runs Moorage. `requirements.lock` beside the server pins the packages, and `contents.json`
here pins their files for each architecture. So the files may come from the packages installed here, if those are the
same, or from the locked wheels (`wheels`).
"""

from __future__ import annotations

import base64
import json
import re
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from importlib.metadata import Distribution, PackageNotFoundError, PackagePath, distribution
from importlib.util import find_spec
from pathlib import Path, PurePosixPath
from platform import machine
from tempfile import TemporaryDirectory

from controller.bundle import wheels
from controller.bundle.package_file import PackageFile
from controller.errors import BundleError

SERVER_PACKAGE = "inference_server"
LOCK_FILE = "requirements.lock"
# The oldest Python that Moorage runs on.
PYTHON_VERSION = "3.11"
ARCHITECTURES = ("amd64", "arm64")

_CONTENTS_FILE = Path(__file__).with_name("contents.json")
_MACHINES = {"x86_64": "amd64", "aarch64": "arm64"}
# Sources and stubs that no import reads, and installers' files, which differ between machines.
_UNUSED_SUFFIXES = {".c", ".h", ".pxd", ".pxi", ".pyc", ".pyi", ".pyx"}
_INSTALLER_FILES = {"RECORD", "INSTALLER", "REQUESTED", "direct_url.json"}
_REINSTALL_HINT = "install again: make setup"


@dataclass(frozen=True)
class Runtime:
    """The target of compiled files, which the base image must match: `python` like 3.11, `architecture` like amd64."""

    python: str
    architecture: str


def locked_digest(architecture: str) -> str:
    """Return the digest (hex) of the packages' files for an architecture, as `digest_files` returns it."""
    found: str = json.loads(_CONTENTS_FILE.read_text())[architecture]
    return found


def digest_files(files: Iterable[PackageFile]) -> str:
    """Return the SHA-256 (hex) of files by their paths and contents."""
    return sha256(json.dumps(sorted((file.path, file.sha256) for file in files)).encode()).hexdigest()


@contextmanager
def open_dependencies(architecture: str) -> Iterator[tuple[PackageFile, ...]]:
    """Yield the packages' files for Linux on an architecture, sorted by path, valid inside the context.

    Raises BundleError if they are neither installed here nor available from the package index.
    """
    if digest_files(files := find_installed(architecture)) == locked_digest(architecture):
        yield files
        return
    with TemporaryDirectory(prefix="moorage-wheels-") as directory:
        files = fetch_dependencies(architecture, Path(directory))
        if digest_files(files) != locked_digest(architecture):
            raise BundleError(
                f"the packages for linux/{architecture} aren't the locked ones",
                why="the index has other wheels for the same versions",
                hint="lock again: make lock",
            )
        yield files


def find_installed(architecture: str) -> tuple[PackageFile, ...]:
    """Return the packages' files as installed here; none if this is another platform or a package is missing."""
    here = (sys.platform, _MACHINES.get(machine()), f"{sys.version_info.major}.{sys.version_info.minor}")
    found = [_find_distribution(name) for name in read_pins()]
    if here != ("linux", architecture, PYTHON_VERSION) or None in found:
        return ()
    return _select_files(file for package in found if package for file in _package_files(package))


def fetch_dependencies(architecture: str, directory: Path) -> tuple[PackageFile, ...]:
    """Return the packages' files from their wheels, which are fetched into `directory`."""
    return _select_files(wheels.fetch_wheels(find_server_root() / LOCK_FILE, PYTHON_VERSION, architecture, directory))


def read_pins() -> dict[str, str]:
    """Return the locked packages and their versions."""
    return dict(
        re.findall(r"^([A-Za-z0-9._-]+)==([^ \\]+)", (find_server_root() / LOCK_FILE).read_text(), re.MULTILINE)
    )


def server_files() -> tuple[PackageFile, ...]:
    """Return the files of the inference server's package, sorted by path."""
    root = find_server_root()
    sources = (
        path for path in root.rglob("*") if path.is_file() and not _is_skipped(PurePosixPath(path.relative_to(root)))
    )
    return tuple(
        sorted(
            PackageFile(
                f"{SERVER_PACKAGE}/{source.relative_to(root).as_posix()}",
                sha256(source.read_bytes()).hexdigest(),
                source,
            )
            for source in sources
        )
    )


def find_server_root() -> Path:
    """Return the directory of the server's package. Raises BundleError if it isn't found."""
    spec = find_spec(SERVER_PACKAGE)  # finds a top-level package without importing it
    if spec is None or not spec.submodule_search_locations:
        raise BundleError(f"no package {SERVER_PACKAGE!r} is installed", hint=_REINSTALL_HINT)
    return Path(spec.submodule_search_locations[0])


def _find_distribution(name: str) -> Distribution | None:
    try:
        return distribution(name)
    except PackageNotFoundError:
        return None


def _package_files(package: Distribution) -> Iterator[PackageFile]:
    for path in package.files or ():
        # Files outside the directory of packages are console scripts, which an image doesn't need.
        if ".." not in path.parts and not path.is_absolute() and not _is_skipped(path):
            yield PackageFile(path.as_posix(), _recorded_digest(path), Path(str(path.locate())))


def _recorded_digest(path: PackagePath) -> str:
    if path.hash is None or path.hash.mode != "sha256":
        raise BundleError("an installed file has no recorded SHA-256", where=str(path), hint=_REINSTALL_HINT)
    return base64.urlsafe_b64decode(path.hash.value + "=").hex()


def _select_files(files: Iterable[PackageFile]) -> tuple[PackageFile, ...]:
    return tuple(
        sorted(file for file in files if not _is_skipped(PurePosixPath(file.path)) and _is_runtime_file(file.path))
    )


def _is_skipped(path: PurePosixPath) -> bool:
    hidden = any(part == "__pycache__" or part.startswith(".") for part in path.parts)
    left_behind = path.name in _INSTALLER_FILES and path.parent.suffix == ".dist-info"
    return hidden or path.suffix in _UNUSED_SUFFIXES or left_behind


def _is_runtime_file(path: str) -> bool:
    """Return whether a file is needed at run time: of XGBoost's package only the library."""
    return not path.startswith("xgboost/") or path.startswith("xgboost/lib/")


def main() -> None:
    """Write what the locked wheels contain, for each architecture: a part of `make lock`."""
    contents = {}
    for architecture in ARCHITECTURES:
        with TemporaryDirectory() as directory:
            contents[architecture] = digest_files(fetch_dependencies(architecture, Path(directory)))
    _CONTENTS_FILE.write_text(json.dumps(contents, indent=2) + "\n")


if __name__ == "__main__":
    main()
