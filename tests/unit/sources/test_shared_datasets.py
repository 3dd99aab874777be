"""From specs to what they want: what is read once."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from tests.demo import Demo, Model


def test_models_over_the_same_rows_share_them(tmp_path: Path) -> None:
    """Equal rows, columns and split are parsed and held once."""
    other = replace(Model(), name="other")
    demo = Demo(cast("Any", None), {}, tmp_path, models=(Model(), other))
    _, first, second = demo.spec_contexts()
    assert first.inputs.channels["train"].load() is second.inputs.channels["train"].load()
    assert first.inputs.data_digest == second.inputs.data_digest
