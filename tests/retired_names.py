"""Refuse identifiers that the glossary has retired: `python tests/retired_names.py`, part of `make check`.

The list is the last column of the tables in `docs/glossary.md`: each name in backticks there was replaced by its row's
term.
"""

from __future__ import annotations

import re
import sys
import tokenize
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
GLOSSARY = ROOT / "docs" / "glossary.md"
ROOMS = ("benchmarks", "controller", "data", "embedded_aws", "inference_server", "tests")


def retired_names(glossary: str) -> dict[str, str]:
    """Return each retired identifier with the term that replaced it, from the text of the glossary.

    Raises ValueError when there is none: the check would then refuse nothing.
    """
    names: dict[str, str] = {}
    for line in glossary.splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if line.startswith("|") and len(cells) == 4:
            names |= dict.fromkeys(re.findall(r"`(\w+)`", cells[3]), cells[0])
    if not names:
        raise ValueError("the glossary retires no names: its tables need four columns, the last one for retired names")
    return names


def violations(files: Iterable[Path], retired: Collection[str]) -> Iterator[tuple[Path, int, str]]:
    """Yield file, line and identifier of each use of a retired name; strings and comments don't count."""
    for file in files:
        with file.open("rb") as stream:
            for token in tokenize.tokenize(stream.readline):
                if token.type == tokenize.NAME and token.string in retired:
                    yield file, token.start[0], token.string


def main() -> int:
    """Print every violation with its cure, and return 1 if there is one."""
    retired = retired_names(GLOSSARY.read_text())
    files = (file for room in ROOMS for file in sorted((ROOT / room).rglob("*.py")) if "node_modules" not in file.parts)
    found = list(violations(files, retired))
    for file, line, name in found:
        sys.stdout.write(f"{file.relative_to(ROOT)}:{line}: '{name}' is retired: use {retired[name]}\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
