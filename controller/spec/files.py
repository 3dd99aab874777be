"""Which files `-f FILE|DIR` means, and their text. Nothing outside a named directory is read through a link."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from controller.errors import Problem
from controller.spec.source import Source

SUFFIXES = (".yaml", ".yml")
LARGEST = 256 * 1024


def find(named: Iterable[Path], problems: list[Problem]) -> Iterator[Path]:
    """Every file that `named` leads to, sorted within a directory, each once; what can't be used joins `problems`."""
    seen: set[Path] = set()
    for path in named:
        for file in _below(path, path.resolve(), problems) if path.is_dir() else [path]:
            if (real := file.resolve()) not in seen:
                seen.add(real)
                yield file


def read(file: Path, problems: list[Problem]) -> Source | None:
    """Read one file as UTF-8; None if it can't be, and then `problems` says why."""
    try:
        if not file.is_file():
            problems.append(Problem(str(file), 1, 1, "not a file" if file.exists() else "no such file or directory"))
            return None
        with file.open("rb") as stream:
            content = stream.read(LARGEST + 1)
    except OSError as error:
        problems.append(Problem(str(file), 1, 1, f"can't be read: {error.strerror}"))
        return None
    if len(content) > LARGEST:
        problems.append(Problem(str(file), 1, 1, "larger than 256 KiB", "a spec holds no data: name a file of it"))
        return None
    return _decode(content, file, problems)


def _decode(content: bytes, file: Path, problems: list[Problem]) -> Source | None:
    try:
        return Source(content.decode("utf-8-sig"), str(file), file.parent)
    except UnicodeDecodeError as error:
        before = content[: error.start].decode("utf-8", "replace")
        line, column = before.count("\n") + 1, len(before) - before.rfind("\n")
        problems.append(Problem(str(file), line, column, "not UTF-8 text", "save the file as UTF-8"))
        return None


def _below(directory: Path, root: Path, problems: list[Problem]) -> Iterator[Path]:
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
            yield from () if path.is_symlink() else _below(path, root, problems)
        elif path.suffix in SUFFIXES:
            yield path
