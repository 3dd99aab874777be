"""The documentation page of the embedded AWS matches the code."""

from __future__ import annotations

import re
from pathlib import Path

import embedded_aws
from embedded_aws.emulator import Emulator
from embedded_aws.strict import install_all

PAGE = Path(__file__).parents[3] / "docs" / "explanation" / "embedded-aws.md"


def test_every_strict_service_is_described(tmp_path) -> None:
    """Each service with a strict handler has its table of behaviours and their sources."""
    emulator = Emulator(tmp_path)
    install_all(emulator)
    headings = "".join(line for line in PAGE.read_text().splitlines() if line.startswith("### "))
    assert {service for service, _ in emulator.handlers} <= set(re.findall(r"`(\w+)`", headings))


def test_every_setting_is_described() -> None:
    """The page names each environment variable that the program reads."""
    code = "".join(path.read_text() for path in Path(embedded_aws.__file__).parent.rglob("*.py"))
    assert set(re.findall(r"MOORAGE_LOCAL_\w+", code)) <= set(re.findall(r"MOORAGE_LOCAL_\w+", PAGE.read_text()))
