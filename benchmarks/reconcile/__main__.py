"""`python -m benchmarks.reconcile`: calls, CPU and memory of the reconciler at 1 to 1,000 specs. See README.md."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from pathlib import Path
from typing import Any, Final

from benchmarks.reconcile import report, specs
from benchmarks.reconcile.scene import ROOT, Scene, UnmeasurableError, scene

_HERE: Final = Path(__file__).parent
_KEPT: Final = ROOT / ".bench"
_MARK: Final = "<!-- figures: written by `make bench-reconcile WRITE=1` -->\n"
_SIZES: Final = (1, 10, 100, 1000)
_QUICK: Final = (1, 10)


def main() -> int:
    """Measure, print the tables, keep the results. Gives 1 when something is beyond its limit."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.reconcile", description=__doc__.partition(". See")[0])
    parser.add_argument("sizes", nargs="*", type=int, metavar="SPECS", help="by default 1, 10, 100 and 1000")
    parser.add_argument("--quick", action="store_true", help="1 and 10 only")
    parser.add_argument("--write", action="store_true", help="put the results beside the code: results.json, README.md")
    options = parser.parse_args()
    if options.write and (options.quick or options.sizes):
        parser.error("--write is for the whole run")
    sizes = options.sizes or (_QUICK if options.quick else _SIZES)
    try:
        # Through JSON, so that what is printed is what was kept.
        results = json.loads(json.dumps({"machine": _machine(), "sizes": {size: _measure(size) for size in sizes}}))
    except UnmeasurableError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    page = report.render(results)
    _keep(results, page, _HERE if options.write else None)
    print(page, end="")
    problems = list(report.beyond(results))
    for problem in problems:
        print(f"beyond its limit: {problem}", file=sys.stderr)
    return 1 if problems else 0


def _measure(count: int) -> dict[str, Any]:
    """One size: made, looked at by a new process and again by the same, changed in one field of each spec."""
    began = time.monotonic()

    def told(turn: str, stage: Scene, turns: int = 1) -> list[dict[str, Any]]:
        print(f"{time.monotonic() - began:6.0f} s  {count:,} specs, {turn}", file=sys.stderr)
        return stage.reconcile(turns)

    with scene(count) as stage:
        (create,) = told("create", stage)
        again, resync = told("no-op, twice", stage, 2)
        specs.write(stage.directory, count, memory=2)
        (change,) = told("one field of each", stage)
    return {"create": create, "again": again, "resync": resync, "change": change}


def _machine() -> dict[str, Any]:
    """What the figures belong to."""
    cpu = [line.partition(": ")[2] for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line]
    return {
        "cpu": cpu[0] if cpu else platform.machine(),
        "cores": os.cpu_count(),
        "kernel": platform.release(),
        "python": platform.python_version(),
    }


def _keep(results: dict[str, Any], page: str, beside: Path | None) -> None:
    text = json.dumps(results, indent=1) + "\n"
    _KEPT.mkdir(exist_ok=True)
    (_KEPT / "reconcile.json").write_text(text)
    if beside:
        (beside / "results.json").write_text(text)
        readme = beside / "README.md"
        readme.write_text(readme.read_text().partition(_MARK)[0] + _MARK + "\n" + page)


if __name__ == "__main__":
    sys.exit(main())
