"""The page on the embedded AWS keeps up with the code."""

from __future__ import annotations

import re
from pathlib import Path

import embedded_aws
from embedded_aws.emulator import Emulator
from embedded_aws.strict import install_all

PAGE = Path(__file__).parents[3] / "docs" / "explanation" / "embedded-aws.md"


def test_every_strict_service_is_described(tmp_path) -> None:
    """Each service with a handler of our own has its table of behaviours and their sources."""
    emulator = Emulator(tmp_path)
    install_all(emulator)
    headings = "".join(line for line in PAGE.read_text().splitlines() if line.startswith("### "))
    assert {service for service, _ in emulator.handlers} <= set(re.findall(r"`(\w+)`", headings))


def test_every_setting_is_described() -> None:
    """Each environment variable that the program reads is on the page."""
    code = "".join(path.read_text() for path in Path(embedded_aws.__file__).parent.rglob("*.py"))
    assert set(re.findall(r"MOORAGE_LOCAL_\w+", code)) <= set(re.findall(r"MOORAGE_LOCAL_\w+", PAGE.read_text()))
