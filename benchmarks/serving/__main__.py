"""`python -m benchmarks.serving`: all figures of the inference server, side by side in one run. See README.md."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Any, Final

from benchmarks.serving import against_peers, machine, many_rows, one_row, overload, report, served_model, startup
from benchmarks.serving.closed_loop import require_wrk
from benchmarks.serving.processes import LOAD_CORE, UnmeasurableError
from benchmarks.serving.run_settings import FULL, QUICK
from benchmarks.serving.virtualenvs import ROOT, WORK_DIR

_DIRECTORY: Final = Path(__file__).parent
_FIGURES_MARK: Final = "<!-- figures: written by `make bench-serving WRITE=1` -->\n"
_FRONT_PAGE_MARK: Final = "<!-- from benchmarks/serving -->\n"
_SUBJECTS: Final = {
    "one_row": one_row.measure,
    "against_peers": against_peers.measure,
    "many_rows": many_rows.measure,
    "startup": startup.measure,
    "overload": overload.measure,
}


def main() -> int:
    """Measure, print the tables, keep the results."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.serving", description=__doc__.partition(". See")[0])
    parser.add_argument(
        "subjects", nargs="*", metavar="SUBJECT", help=f"some of {', '.join(_SUBJECTS)}; by default all"
    )
    parser.add_argument("--quick", action="store_true", help="prove that it works; the figures mean nothing")
    parser.add_argument("--write", action="store_true", help="put the results beside the code: results.json, README.md")
    options = parser.parse_args()
    if unknown := set(options.subjects) - set(_SUBJECTS):
        parser.error(f"no such subject: {', '.join(sorted(unknown))}")
    if options.write and (options.quick or options.subjects):
        parser.error("--write is for the whole run")
    WORK_DIR.mkdir(exist_ok=True)
    try:
        results = _measure(options.subjects or list(_SUBJECTS), options.quick)
    except UnmeasurableError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    markdown = report.render(results)
    _save(results, markdown, _DIRECTORY if options.write else None)
    print(markdown, end="")
    return 0


def _measure(subjects: list[str], quick: bool) -> dict[str, Any]:
    require_wrk()
    if (os.cpu_count() or 1) < 2:
        raise UnmeasurableError("one core for the server and one for the load: this machine has one")
    settings = QUICK if quick else FULL
    before, started_at, stolen_before = machine.describe(), time.monotonic(), machine.stolen_seconds()
    os.sched_setaffinity(0, {LOAD_CORE})
    model = served_model.train_and_bundle()
    results: dict[str, Any] = {}
    for name in subjects:
        print(f"{time.monotonic() - started_at:6.0f} s  {name}", file=sys.stderr)
        results[name] = _SUBJECTS[name](model, settings)
    after = {
        "quick": quick,
        "minutes": (time.monotonic() - started_at) / 60,
        "stolen_seconds": machine.stolen_seconds() - stolen_before,
    }
    # Through JSON, so that what is printed is what was kept.
    return dict(json.loads(json.dumps({"machine": before | after, **results}, default=_to_json)))


def _save(results: dict[str, Any], markdown: str, directory: Path | None) -> None:
    text = json.dumps(results, indent=1) + "\n"
    (WORK_DIR / "results.json").write_text(text)
    if directory:
        (directory / "results.json").write_text(text)
        readme = directory / "README.md"
        readme.write_text(readme.read_text().partition(_FIGURES_MARK)[0] + _FIGURES_MARK + "\n" + markdown)
        front = ROOT / "README.md"
        before, _, rest = front.read_text().partition(_FRONT_PAGE_MARK)
        front.write_text(before + _FRONT_PAGE_MARK + report.brief(results) + "\n" + rest.partition("\n\n")[2])


def _to_json(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    raise TypeError(f"{value!r} is no result")


if __name__ == "__main__":
    sys.exit(main())
