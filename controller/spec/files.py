"""Which files `-f FILE|DIR` means, their text, and the data they name.

No spec outside a named directory is read through a link.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from stat import S_ISREG

from controller.errors import DataError, Problem
from controller.spec.source_file import SourceFile

SUFFIXES = (".yaml", ".yml")
MAX_SPEC_BYTES = 256 * 1024
# Rows are held in memory, at some ten times the size of the file.
MAX_DATA_BYTES = 256 * 2**20


def find(paths: Iterable[Path], problems: list[Problem]) -> Iterator[Path]:
    """Every file that `named` leads to, sorted within a directory, each once; what can't be used joins `problems`."""
    seen: set[Path] = set()
    for path in paths:
        for file in _walk_directory(path, path.resolve(), problems) if path.is_dir() else [path]:
            if (real := file.resolve()) not in seen:
                seen.add(real)
                yield file


def read(file: Path, problems: list[Problem]) -> SourceFile | None:
    """Read one file as UTF-8; None if it can't be, and then `problems` says why."""
    try:
        if not file.is_file():
            problems.append(Problem(str(file), 1, 1, "not a file" if file.exists() else "no such file or directory"))
            return None
        with file.open("rb") as stream:
            content = stream.read(MAX_SPEC_BYTES + 1)
    except OSError as error:
        problems.append(Problem(str(file), 1, 1, f"can't be read: {error.strerror}"))
        return None
    return decode_source(content, str(file), read_data, problems)


def read_data(file: str) -> bytes:
    """Read a file of data. Raises DataError when there is no plain file, or when it is too large to hold."""
    path = Path(file)
    try:
        found = path.stat()
        # A device or a pipe might never end.
        if not S_ISREG(found.st_mode):
            raise DataError("this is not a plain file", where=file)
        if found.st_size > MAX_DATA_BYTES:
            raise DataError(f"the file has {found.st_size:,} bytes; at most {MAX_DATA_BYTES:,} are read", where=file)
        return path.read_bytes()
    except OSError as error:
        raise DataError("the file can't be read", where=file, why=error.strerror or str(error)) from error


def decode_source(
    content: bytes, file: str, reader: Callable[[str], bytes], problems: list[Problem]
) -> SourceFile | None:
    """Make a Source of a spec's bytes; None if they can't be one, and then `problems` says why."""
    if len(content) > MAX_SPEC_BYTES:
        problems.append(Problem(file, 1, 1, "larger than 256 KiB", "a spec holds no data: name a file of it"))
        return None
    try:
        return SourceFile(content.decode("utf-8-sig"), file, reader)
    except UnicodeDecodeError as error:
        before = content[: error.start].decode("utf-8", "replace")
        line, column = before.count("\n") + 1, len(before) - before.rfind("\n")
        problems.append(Problem(file, line, column, "not UTF-8 text", "save the file as UTF-8"))
        return None


def _walk_directory(directory: Path, root: Path, problems: list[Problem]) -> Iterator[Path]:
    for path in sorted(directory.iterdir()):
        if path.name.startswith("."):
            continue
        if path.is_symlink() and not path.resolve().is_relative_to(root):
            if path.suffix in SUFFIXES or path.is_dir():
                problems.append(
                    Problem(str(path), 1, 1, f"a link that leads out of {root.name}", "put the file itself there")
                )
        elif path.is_dir():
            # What a link inside the root leads to is found at its own place.
            yield from () if path.is_symlink() else _walk_directory(path, root, problems)
        elif path.suffix in SUFFIXES:
            yield path
