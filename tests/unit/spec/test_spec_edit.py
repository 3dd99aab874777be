"""One value of a spec changes in its file, and not a character more."""

from __future__ import annotations

import difflib
from pathlib import Path

import pytest

from controller.spec.edit import pin_version
from controller.spec.load import load_text

HEAD = """# a comment
apiVersion: moorage/v1alpha1
kind: ModelService
metadata: {name: m}   # its name
spec:
  data: {source: rows.csv, target: value}
  training:
    algorithm: {name: xgboost, version: "3.2-0"}
    hyperparameters: {objective: reg:squarederror, num_round: 1}
"""
TAIL = """  # the service
  service: {cpu: 256, memory: 1024}
"""
CASES = {
    "a flow mapping": ("  model: {gates: []}\n", ["-  model: {gates: []}", "+  model: {version: 7, gates: []}"]),
    "an empty mapping": ("  model: {}\n", ["-  model: {}", "+  model: {version: 7}"]),
    "a block mapping": ("  model:\n    # why\n    approval: auto\n", ["+    version: 7"]),
    "another version": (
        "  model: {version: 12}  # pin\n",
        ["-  model: {version: 12}  # pin", "+  model: {version: 7}  # pin"],
    ),
    "no such section": ("", ["+  model: {version: 7}"]),
}


@pytest.mark.parametrize("case", CASES)
def test_only_the_pinned_version_changes(case: str) -> None:
    """Whatever the section looks like, the difference is the one line that holds the version."""
    section, expected = CASES[case]
    text = HEAD + section + TAIL
    edited = pin_version(load_text(text).services["m"], 7)
    changed = [
        line
        for line in difflib.unified_diff(text.splitlines(), edited.splitlines(), lineterm="", n=0)
        if line[:1] in "+-" and line[:3] not in ("+++", "---")
    ]
    assert changed == expected
    assert load_text(edited).services["m"].model.spec.model.version == 7


def test_the_demos_own_spec_keeps_its_layout() -> None:
    """The demo's file, pinned, differs in one line."""
    file = Path(__file__).resolve().parents[3] / "specs/housing-model.yaml"
    text = file.read_text()
    edited = pin_version(load_text(text, str(file)).services["housing-model"], 3)
    assert sum(old != new for old, new in zip(text.splitlines(), edited.splitlines(), strict=False)) >= 1
    assert [line for line in edited.splitlines() if line not in text.splitlines()] == ["    version: 3"]
