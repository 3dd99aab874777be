"""The results as tables, and what of them is beyond its limit."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from benchmarks.reconcile.write_counter import COMPLETED, FILLED, OPENED

RUNS: Final = {
    "create": "create",
    "again": "no-op, a new process",
    "resync": "no-op, the same process",
    "change": "one field of each",
}
MAX_READS, MAX_MEGABYTES = 4.0, 300.0
Results = Mapping[str, Any]


def render(results: Results) -> str:
    """The tables, as Markdown."""
    tables = (_run_table(run, title, results) for run, title in RUNS.items())
    return "\n".join([_machine_line(results), *tables, _writes_table(results), _operations_table(results)])


def exceeded_limits(results: Results) -> Iterator[str]:
    """What doesn't keep to its limit, in words."""
    for count, runs in results["sizes"].items():
        specs = int(count)
        for run in ("again", "resync"):
            if sum(runs[run]["writes"].values()):
                yield f"{RUNS[run]} of {count} specs changes something"
        for object_name, times in runs["create"]["repeated"].items():
            yield f"{object_name}, written {times} times in the creation of {count}"
        if specs >= 1000 and (reads := sum(runs["resync"]["reads"].values()) / specs) > MAX_READS:
            yield f"{reads:.2f} reads per spec in a resync of {count}, above {MAX_READS:g}"
        if specs >= 1000 and (peak := max(run["peak"] for run in runs.values())) > MAX_MEGABYTES:
            yield f"{peak:.0f} MB at {count} specs, above {MAX_MEGABYTES:g}"


def _machine_line(results: Results) -> str:
    machine = results["machine"]
    return f"{machine['cpu']}, {machine['cores']} cores, Linux {machine['kernel']}, Python {machine['python']}.\n"


def _run_table(run: str, title: str, results: Results) -> str:
    """One turn at each size."""
    lines = [
        f"### {title[0].upper()}{title[1:]}",
        "",
        "| specs | reads per spec | writes per spec | CPU per spec, ms | peak memory, MB | took, s | AWS's rates, s |",
        "|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for count, runs in results["sizes"].items():
        result, specs = runs[run], int(count)
        reads, writes = (sum(result[kind].values()) for kind in ("reads", "writes"))
        cells = [
            f"{reads / specs:.2f}",
            f"{writes / specs:.2f}",
            f"{1000 * result['cpu'] / specs:.0f}",
            f"{result['peak']:.0f}",
            f"{result['seconds']:.1f}",
            f"{result['rates']:.0f}",
        ]
        lines.append(f"| {specs:,} | " + " | ".join(cells) + " |")
    return "\n".join([*lines, ""])


def _writes_table(results: Results) -> str:
    """What a creation writes: calls held against objects."""
    lines = [
        "### What a creation writes, per spec",
        "",
        (
            "| specs | nodes made | AWS objects written | of these blobs | calls for blobs | other calls |"
            " objects written twice |"
        ),
        "|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for count, runs in results["sizes"].items():
        result, specs = runs["create"], int(count)
        calls = result["writes"]
        uploads = sum(calls.get(name, 0) for name in (OPENED, FILLED, COMPLETED))
        counts = (sum(result["steps"].values()), result["objects"], calls.get(COMPLETED, 0), uploads)
        cells = [f"{number / specs:.2f}" for number in (*counts, sum(calls.values()) - uploads)]
        lines.append(f"| {specs:,} | {' | '.join(cells)} | {len(result['repeated'])} |")
    return "\n".join([*lines, ""])


def _operations_table(results: Results) -> str:
    """Every operation at the largest size: how often it is called for each spec."""
    count, runs = list(results["sizes"].items())[-1]
    names = sorted({name for run in runs.values() for kind in ("reads", "writes") for name in run[kind]})
    lines = [f"### Calls per spec at {int(count):,}", "", f"| | {' | '.join(RUNS.values())} |"]
    lines.append("|---|" + "---:|" * len(RUNS))
    for name in names:
        calls = [runs[run]["reads"].get(name, 0) + runs[run]["writes"].get(name, 0) for run in RUNS]
        lines.append(f"| `{name}` | " + " | ".join(_per_spec(number, int(count)) for number in calls) + " |")
    return "\n".join([*lines, ""])


def _per_spec(number: int, specs: int) -> str:
    return f"{number / specs:.3g}" if number else ""
