"""The check of retired identifiers finds a planted one, and reads its list from the glossary."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import retired_names

TABLE = """\
| term | meaning | where | replaces |
|---|---|---|---|
| `Backend` | state and lock | `engine/` | `Home`, `home.py` |
"""


def test_a_planted_name_is_found_with_its_line(tmp_path: Path) -> None:
    """An identifier counts; a string, a comment and a part of another name don't."""
    planted = tmp_path / "planted.py"
    planted.write_text('# Home\nHomepage = "Home"\nbackend = Home()\n')
    found = retired_names.violations([planted], retired_names.retired_names(TABLE))
    assert list(found) == [(planted, 3, "Home")]


def test_the_list_is_the_glossary() -> None:
    """Each retired name has the term that replaced it, and the real glossary has some."""
    assert retired_names.retired_names(TABLE) == {"Home": "`Backend`"}
    assert len(retired_names.retired_names(retired_names.GLOSSARY.read_text())) > 50


def test_a_glossary_without_retired_names_is_an_error() -> None:
    """A table that lost its last column can't pass for a clean tree."""
    with pytest.raises(ValueError, match="retires no names"):
        retired_names.retired_names("| term | meaning |\n|---|---|\n| `Backend` | state |\n")
