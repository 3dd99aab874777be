"""The reconciler's tables say what was counted, and what is beyond its limit is told."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks.reconcile import report


def run_result(reads: int = 0, writes: int = 0, peak: float = 100.0) -> dict[str, Any]:
    return {
        "reads": {"iam.get_role": reads},
        "writes": {"iam.create_role": writes} if writes else {},
        "objects": writes,
        "repeated": {},
        "steps": {"create": writes // 2},
        "cpu": 1.0,
        "seconds": 2.0,
        "rates": 3.0,
        "peak": peak,
    }


def results(**runs: dict[str, Any]) -> dict[str, Any]:
    sizes = {
        "create": run_result(9000, 30_000),
        "again": run_result(),
        "resync": run_result(),
        "change": run_result(10, 10),
    } | runs
    return {"machine": {"cpu": "c", "cores": 2, "kernel": "k", "python": "3"}, "sizes": {"1000": sizes}}


def test_the_tables_count_per_spec() -> None:
    """Calls are divided by the number of specs, in the tables of the turns and in the one of the operations."""
    page = report.render(results())
    assert "| 1,000 | 9.00 | 30.00 | 1 | 100 | 2.0 | 3 |" in page
    assert "| `iam.create_role` | 30 |  |  | 0.01 |" in page


@pytest.mark.parametrize(
    ("runs", "expected"),
    [
        ({}, []),
        ({"resync": run_result(4000)}, []),
        ({"resync": run_result(4001)}, ["4.00 reads per spec in a resync of 1000, above 4"]),
        ({"again": run_result(writes=1)}, ["no-op, a new process of 1000 specs changes something"]),
        ({"create": run_result(peak=301)}, ["301 MB at 1000 specs, above 300"]),
        (
            {"create": run_result() | {"repeated": {"iam.create_role r": 2}}},
            ["iam.create_role r, written 2 times in the creation of 1000"],
        ),
    ],
)
def test_exceeded_limits_are_reported(runs: dict[str, Any], expected: list[str]) -> None:
    """Four reads are allowed and the least more isn't; a no-op must change nothing; memory has its limit."""
    assert list(report.exceeded_limits(results(**runs))) == expected
