"""The tables say of each figure whether it is what was promised."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import pytest

from benchmarks.serving import report
from benchmarks.serving.summary import Spread, percentile

SERVING: Final = Path(report.__file__).parent


def spread(median: float) -> dict[str, float]:
    return {"median": median, "low": median, "high": median}


def one_row(ratio: float) -> dict[str, Any]:
    measurement = {name: spread(0.0001) for name in ("cpu", "rate", "p50", "p99")}
    return {"one_row": {"32": {"ours": measurement, "floor": measurement, "cpu_ratio": spread(ratio)}}}


@pytest.mark.parametrize(("ratio", "missed"), [(1.1, False), (1.11, True)])
def test_missed_targets_are_marked(ratio: float, missed: bool) -> None:
    """1.1 times the floor is what was promised at 32 connections; the least more is marked."""
    page = report.render(one_row(ratio))
    assert "≤ 1.1" in page
    assert ("**missed**" in page) is missed


@pytest.mark.parametrize(("ratio", "missed"), [(0.99, False), (1.0, True)])
def test_startup_target_uses_the_median_ratio(ratio: float, missed: bool) -> None:
    """Whether it is shorter follows from the ratio in the middle, which is shown with its extremes."""
    measurement = {name: spread(0.2) for name in ("wall", "cpu")}
    ratio_spread = {"median": ratio, "low": 0.7, "high": 1.2}
    page = report.render(
        {"startup": {"first_prediction": measurement, "import": measurement, "ratio": ratio_spread, "memory": {}}}
    )
    assert ("**missed**" in page) is missed
    assert f"{ratio:.2f} (0.70 to 1.20)" in page


def test_only_measured_subjects_are_shown() -> None:
    """A run of one subject gives one table."""
    page = report.render(one_row(1.0))
    assert "**One row per request, against the floor**" in page
    assert page.count("**") == 2


def test_ratios_are_taken_within_a_round() -> None:
    """Rounds in which both were slow don't spread the ratio: it is taken before the median."""
    assert Spread.ratio([2.0, 20.0, 4.0], [1.0, 10.0, 2.0]) == Spread(2.0, 2.0, 2.0)
    assert Spread.of([3.0, 1.0, 2.0]) == Spread(2.0, 1.0, 3.0)


def test_percentile_of_sorted_values() -> None:
    """Half of the values are below the one in the middle; of no value there is none."""
    values = [float(value) for value in range(100)]
    assert percentile(values, 0.5) == 50
    assert percentile(values, 1) == 99
    assert percentile([], 0.99) is None


def test_readmes_show_the_stored_results() -> None:
    """What stands in both READMEs is what was measured: `make bench-serving WRITE=1` writes it, nobody by hand."""
    results = json.loads((SERVING / "results.json").read_text())
    assert report.brief(results) in (SERVING.parents[1] / "README.md").read_text()
    assert report.render(results) in (SERVING / "README.md").read_text()
