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
from benchmarks.reconcile.testbed import ROOT, Testbed, UnmeasurableError, create_testbed

_DIRECTORY: Final = Path(__file__).parent
_RESULTS_DIR: Final = ROOT / ".bench"
_FIGURES_MARK: Final = "<!-- figures: written by `make bench-reconcile WRITE=1` -->\n"
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
    markdown = report.render(results)
    _save(results, markdown, _DIRECTORY if options.write else None)
    print(markdown, end="")
    problems = list(report.exceeded_limits(results))
    for problem in problems:
        print(f"beyond its limit: {problem}", file=sys.stderr)
    return 1 if problems else 0


def _measure(count: int) -> dict[str, Any]:
    """One size: made, looked at by a new process and again by the same, changed in one field of each spec."""
    started_at = time.monotonic()

    def run_and_log(label: str, testbed: Testbed, runs: int = 1) -> list[dict[str, Any]]:
        print(f"{time.monotonic() - started_at:6.0f} s  {count:,} specs, {label}", file=sys.stderr)
        return testbed.reconcile(runs)

    with create_testbed(count) as testbed:
        (create,) = run_and_log("create", testbed)
        again, resync = run_and_log("no-op, twice", testbed, 2)
        specs.write(testbed.directory, count, memory=2)
        (change,) = run_and_log("one field of each", testbed)
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


def _save(results: dict[str, Any], markdown: str, directory: Path | None) -> None:
    text = json.dumps(results, indent=1) + "\n"
    _RESULTS_DIR.mkdir(exist_ok=True)
    (_RESULTS_DIR / "reconcile.json").write_text(text)
    if directory:
        (directory / "results.json").write_text(text)
        readme = directory / "README.md"
        readme.write_text(readme.read_text().partition(_FIGURES_MARK)[0] + _FIGURES_MARK + "\n" + markdown)


if __name__ == "__main__":
    sys.exit(main())
