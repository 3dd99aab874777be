"""The results as tables, and what of them is beyond its limit."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from benchmarks.reconcile.written import COMPLETED, FILLED, OPENED

TURNS: Final = {
    "create": "create",
    "again": "no-op, a new process",
    "resync": "no-op, the same process",
    "change": "one field of each",
}
READS, MEGABYTES = 4.0, 300.0
Results = Mapping[str, Any]


def render(results: Results) -> str:
    """The tables, as Markdown."""
    tables = (_table(turn, title, results) for turn, title in TURNS.items())
    return "\n".join([_about(results), *tables, _written(results), _operations(results)])


def beyond(results: Results) -> Iterator[str]:
    """What doesn't keep to its limit, in words."""
    for count, turns in results["sizes"].items():
        specs = int(count)
        for turn in ("again", "resync"):
            if sum(turns[turn]["writes"].values()):
                yield f"{TURNS[turn]} of {count} specs changes something"
        for named, times in turns["create"]["repeated"].items():
            yield f"{named}, written {times} times in the creation of {count}"
        if specs >= 1000 and (reads := sum(turns["resync"]["reads"].values()) / specs) > READS:
            yield f"{reads:.2f} reads per spec in a resync of {count}, above {READS:g}"
        if specs >= 1000 and (peak := max(turn["peak"] for turn in turns.values())) > MEGABYTES:
            yield f"{peak:.0f} MB at {count} specs, above {MEGABYTES:g}"


def _about(results: Results) -> str:
    machine = results["machine"]
    return f"{machine['cpu']}, {machine['cores']} cores, Linux {machine['kernel']}, Python {machine['python']}.\n"


def _table(turn: str, title: str, results: Results) -> str:
    """One turn at each size."""
    lines = [
        f"### {title[0].upper()}{title[1:]}",
        "",
        "| specs | reads per spec | writes per spec | CPU per spec, ms | peak memory, MB | took, s | AWS's rates, s |",
        "|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for count, turns in results["sizes"].items():
        told, specs = turns[turn], int(count)
        reads, writes = (sum(told[kind].values()) for kind in ("reads", "writes"))
        cells = [
            f"{reads / specs:.2f}",
            f"{writes / specs:.2f}",
            f"{1000 * told['cpu'] / specs:.0f}",
            f"{told['peak']:.0f}",
            f"{told['seconds']:.1f}",
            f"{told['rates']:.0f}",
        ]
        lines.append(f"| {specs:,} | " + " | ".join(cells) + " |")
    return "\n".join([*lines, ""])


def _written(results: Results) -> str:
    """What a creation writes: calls held against objects."""
    lines = [
        "### What a creation writes, per spec",
        "",
        "| specs | nodes made | AWS objects written | of these blobs | calls for blobs | other calls | objects written twice |",
        "|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for count, turns in results["sizes"].items():
        made, specs = turns["create"], int(count)
        calls = made["writes"]
        uploads = sum(calls.get(name, 0) for name in (OPENED, FILLED, COMPLETED))
        counts = (sum(made["steps"].values()), made["objects"], calls.get(COMPLETED, 0), uploads)
        cells = [f"{number / specs:.2f}" for number in (*counts, sum(calls.values()) - uploads)]
        lines.append(f"| {specs:,} | {' | '.join(cells)} | {len(made['repeated'])} |")
    return "\n".join([*lines, ""])


def _operations(results: Results) -> str:
    """Every operation at the largest size: how often it is called for each spec."""
    count, turns = list(results["sizes"].items())[-1]
    names = sorted({name for turn in turns.values() for kind in ("reads", "writes") for name in turn[kind]})
    lines = [f"### Calls per spec at {int(count):,}", "", f"| | {' | '.join(TURNS.values())} |"]
    lines.append("|---|" + "---:|" * len(TURNS))
    for name in names:
        calls = [turns[turn]["reads"].get(name, 0) + turns[turn]["writes"].get(name, 0) for turn in TURNS]
        lines.append(f"| `{name}` | " + " | ".join(_per(number, int(count)) for number in calls) + " |")
    return "\n".join([*lines, ""])


def _per(number: int, specs: int) -> str:
    return f"{number / specs:.3g}" if number else ""
