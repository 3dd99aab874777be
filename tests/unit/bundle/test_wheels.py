"""Packages for a platform that isn't this one: what is read from their wheels is what an installer would have put
there.
"""

from __future__ import annotations

import base64
import os
import subprocess
import sys
from hashlib import sha256
from pathlib import Path
from zipfile import ZipFile

import pytest

from controller.bundle import runtime_files, wheels
from controller.errors import BundleError

ROOT = Path(__file__).resolve().parents[3]


def wheel(directory: Path, members: dict[str, bytes]) -> Path:
    """Write a wheel with a RECORD of its members."""
    path = directory / "thing-1-py3-none-any.whl"
    recorded = {
        name: base64.urlsafe_b64encode(sha256(content).digest()).decode().rstrip("=")
        for name, content in members.items()
    }
    record = "".join(f"{name},sha256={value},1\n" for name, value in recorded.items())
    with ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
        archive.writestr("thing-1.dist-info/RECORD", record + "thing-1.dist-info/RECORD,,\n")
    return path


def test_members_stand_where_an_installer_puts_them(tmp_path: Path) -> None:
    """Libraries go beside one another wherever the wheel keeps them; scripts, headers and data have no place."""
    content = {
        "thing/__init__.py": b"1",
        "thing-1.data/platlib/thing/fast.so": b"2",
        "thing-1.data/scripts/thing": b"3",
        "thing-1.data/data/etc/thing.conf": b"4",
        "thing-1.dist-info/METADATA": b"5",
    }
    found = {file.path: file for file in wheels.list_wheel_files(wheel(tmp_path, content))}
    assert set(found) == {"thing/__init__.py", "thing/fast.so", "thing-1.dist-info/METADATA"}
    assert found["thing/fast.so"].read() == b"2"


def test_a_member_that_is_not_the_recorded_one_is_refused(tmp_path: Path) -> None:
    """A wheel whose RECORD and content differ, or that has no RECORD, or is none, doesn't get into an image."""
    path = wheel(tmp_path, {"thing.py": b"1"})
    (file,) = wheels.list_wheel_files(path)
    with ZipFile(path, "w") as archive:
        archive.writestr("thing.py", b"2")
    with pytest.raises(BundleError, match="was changed"):
        file.read()
    with pytest.raises(BundleError, match="can't be read"):
        list(wheels.list_wheel_files(path))
    path.write_bytes(b"no archive")
    with pytest.raises(BundleError, match="can't be read"):
        list(wheels.list_wheel_files(path))


def test_without_an_index_the_error_says_what_to_do(tmp_path: Path) -> None:
    """Nothing to be had: one error, with pip's own reason and two ways out; run again, and it is tried again."""
    program = (
        "from pathlib import Path; from controller.bundle import runtime_files\n"
        "from controller.errors import BundleError\n"
        f"try: runtime_files.fetch_dependencies('arm64', Path({str(tmp_path)!r}))\n"
        "except BundleError as error: print(error)"
    )
    nowhere = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": "", "PIP_CONFIG_FILE": os.devnull, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | nowhere,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "for Python 3.11 on linux/arm64 can't be had: ERROR: No matching distribution found for" in done.stdout
    assert "PIP_INDEX_URL" in done.stdout


@pytest.mark.parametrize("architecture", runtime_files.ARCHITECTURES)
def test_the_locked_wheels_hold_what_was_locked(architecture: str, tmp_path: Path) -> None:
    """From the index, for either platform: the very files that are locked. Skipped where there is no index."""
    try:
        files = runtime_files.fetch_dependencies(architecture, tmp_path)
    except BundleError as error:
        pytest.skip(str(error))
    assert runtime_files.digest_files(files) == runtime_files.locked_digest(architecture)


def test_installed_packages_match_the_lock() -> None:
    """On the image's own platform no index is needed; on another one nothing here is taken for it."""
    here = runtime_files.find_installed("amd64") or runtime_files.find_installed("arm64")
    matching = [
        name
        for name in runtime_files.ARCHITECTURES
        if runtime_files.digest_files(here) == runtime_files.locked_digest(name)
    ]
    assert len(matching) == (1 if here else 0)
    assert not (runtime_files.find_installed("amd64") and runtime_files.find_installed("arm64"))
