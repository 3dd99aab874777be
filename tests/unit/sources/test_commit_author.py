"""Whose commit a directory's specs are from."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from controller.sources.snapshots import author_of, commit_of, printable_author


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A work tree with one commit of somebody's."""
    who = {f"GIT_{role}_{what}": value for role in ("AUTHOR", "COMMITTER") for what, value in _IDENTITY.items()}
    (tmp_path / "spec.yaml").write_text("a: 1\n")
    for words in (("init", "-q"), ("add", "."), ("commit", "-q", "-m", "first")):
        subprocess.run(["git", "-C", str(tmp_path), *words], check=True, env={**os.environ, **who})
    return tmp_path


_IDENTITY = {"NAME": "Ada", "EMAIL": "ada@example.com"}


def test_a_commit_has_an_author(tree: Path) -> None:
    """Name and address, as Git has them."""
    assert author_of(tree, commit_of(tree)) == "Ada <ada@example.com>"


def test_uncommitted_changes_have_no_author(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Files that were changed since, and a directory without Git, have no author."""
    (tree / "spec.yaml").write_text("a: 2\n")
    assert author_of(tree, commit_of(tree)) == ""
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    assert author_of(elsewhere, commit_of(elsewhere)) == ""


def test_author_name_is_sanitized() -> None:
    """Whoever commits chooses the name: what can't be printed is left out, and so is what is endless."""
    assert printable_author("A\x1b[2J <a@b>\n") == "A [2J <a@b> "
    assert len(printable_author("x" * 10_000)) == 200
