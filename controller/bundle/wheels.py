"""Packages for another platform: pip fetches the locked wheels, and their members are read inside them.

Nothing is resolved, built or installed: the lock names every package without markers, so the Python that runs pip
doesn't matter. pip's own configuration chooses the index and the proxy. Format:
https://packaging.python.org/en/latest/specifications/binary-distribution-format/
"""

from __future__ import annotations

import base64
import csv
import io
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from zipfile import BadZipFile, ZipFile

from controller.bundle.package_file import PackageFile
from controller.errors import BundleError

_MACHINES = {"amd64": "x86_64", "arm64": "aarch64"}
# Newest first, as pip prefers them: glibc 2.28 is older than that of any Debian with Python 3.11.
_PLATFORMS = (*(f"manylinux_2_{minor}" for minor in range(28, 16, -1)), "manylinux2014")
_TIMEOUT = 600


def fetch_wheels(lock: Path, python: str, architecture: str, directory: Path) -> Iterator[PackageFile]:
    """Fetch the wheels that a lock pins into `directory`, and yield the files that they would install together.

    Raises BundleError if pip is missing, or if the index lacks the wheels or can't be reached.
    """
    platforms = [f"--platform={platform}_{_MACHINES[architecture]}" for platform in _PLATFORMS]
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-input"]
    command += ["--no-deps", "--only-binary=:all:", "--require-hashes", f"--requirement={lock}", f"--dest={directory}"]
    command += ["--implementation=cp", f"--python-version={python}", *platforms]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_TIMEOUT)
    except subprocess.TimeoutExpired as error:
        raise _unavailable_error(python, architecture, f"the package index took more than {_TIMEOUT} s") from error
    if done.returncode:
        errors = [line for line in done.stderr.splitlines() if "error" in line.lower()] or done.stderr.splitlines()
        raise _unavailable_error(python, architecture, errors[-1].strip() if errors else "pip failed without a message")
    for wheel in sorted(directory.glob("*.whl")):
        yield from list_wheel_files(wheel)


def list_wheel_files(wheel: Path) -> Iterator[PackageFile]:
    """Yield the files that a wheel installs into the directory of packages, as its RECORD lists them."""
    try:
        with ZipFile(wheel) as archive:
            (record,) = (name for name in archive.namelist() if name.endswith(".dist-info/RECORD"))
            rows = list(csv.reader(io.StringIO(archive.read(record).decode())))
    except (OSError, ValueError, BadZipFile) as error:
        raise BundleError("a wheel can't be read", where=wheel.name, why=str(error)) from error
    for member, recorded, *_ in rows:
        path = _install_path(member)
        if path and recorded.startswith("sha256="):
            yield PackageFile(path, base64.urlsafe_b64decode(recorded[7:] + "=").hex(), wheel, member)


def _install_path(member: str) -> str:
    """Return where an installer puts a member; empty for scripts, headers and data, which an image doesn't need."""
    top, _, rest = member.partition("/")
    if not top.endswith(".data"):
        return member
    kind, _, path = rest.partition("/")
    return path if kind in ("purelib", "platlib") else ""


def _unavailable_error(python: str, architecture: str, why: str) -> BundleError:
    return BundleError(
        f"the server's packages for Python {python} on linux/{architecture} can't be had",
        why=why,
        hint="make pip reach a package index (PIP_INDEX_URL), or set image.base to an image built from the Dockerfile",
    )
