"""Results as a page of markdown tables. Each figure stands beside what was promised, reached or not."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

_TARGET_RATIOS: Final = {"seed": 20, "fastapi": 5, "mlserver": 9, "bentoml": 20, "litserve": 15}
_TARGET_CPU_RATIOS: Final = {"1": 1.5, "32": 1.1, "128": 1.1}
_NAMES: Final = {
    "seed": "the Flask app it takes the place of:",
    "fastapi": "FastAPI",
    "mlserver": "MLServer",
    "bentoml": "BentoML",
    "litserve": "LitServe",
}
_TARGET_MB: Final = 50


def render(results: Mapping[str, Any]) -> str:
    """Give the page for those subjects that were measured."""
    parts: Mapping[str, Callable[[Any], Iterator[str]]] = {
        "machine": _machine,
        "one_row": _one_row,
        "against_peers": _against_peers,
        "many_rows": _many_rows,
        "startup": _startup,
        "overload": _overload,
    }
    lines = [line for name, part in parts.items() if name in results for line in (*part(results[name]), "")]
    return "\n".join(lines).strip() + "\n"


def brief(results: Mapping[str, Any]) -> str:
    """Give the few figures for the project's front page, missed promises included.

    `results` are those of a whole run.
    """
    servers, points, startup, overload = (results[name] for name in ("against_peers", "one_row", "startup", "overload"))
    peers = (f"{_NAMES[name]} {servers[name]['rate']['median']:,.0f}" for name in _NAMES)
    ours, theirs = (startup[name]["wall"]["median"] for name in ("first_prediction", "import"))
    rows = [
        ("requests/s, 32 connections", f"**{servers['ours']['rate']['median']:,.0f}**", ", ".join(peers)),
        *(_cpu(connections, points[connections]) for connections in ("32", "1")),
        ("start to first prediction", f"{ours:.2f} s", f"`import xgboost` alone: {theirs:.2f} s"),
        ("memory (PSS), 128 connections", f"{startup['memory']['peak at 128 connections']['pss']:.0f} MB", ""),
        (
            f"{overload['times']:g} times as many requests as it can answer",
            f"{overload['goodput_share']:.0%} of capacity answered",
            (
                f"p99 {_ms(overload['overloaded']['accepted_p99'])} ms; "
                f"unloaded {_ms(overload['unloaded']['accepted_p99'])} ms"
            ),
        ),
    ]
    lines = ["| one row per request, one core | Moorage | beside it |", "|---|---|---|", *(_row(*row) for row in rows)]
    return "\n".join(lines) + "\n"


def _cpu(connections: str, point: Mapping[str, Any]) -> tuple[str, str, str]:
    ratio, target = point["cpu_ratio"]["median"], _TARGET_CPU_RATIOS[connections]
    missed = "" if ratio <= target else f"; {target} was promised"
    beside = f"{ratio:.2f} times that of aiohttp answering a constant{missed}"
    return f"CPU per request, connections: {connections}", f"{point['ours']['cpu']['median'] * 1e6:.0f} µs", beside


def _machine(machine: Mapping[str, Any]) -> Iterator[str]:
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    yield (
        f"{machine['date']}, {machine['cpu']}, {machine['cores']} cores, Linux {machine['kernel']}, "
        f"Python {machine['python']}, {versions}. {'Quick run: no figure means anything. ' * machine['quick']}"
        f"Load average before the run {machine['load_before']:.1f}; the run took {machine['minutes']:.1f} minutes, "
        f"in which the hypervisor took {machine['stolen_seconds']:.1f} s of CPU time away. "
        "Medians, with least and most in brackets."
    )


def _one_row(points: Mapping[str, Any]) -> Iterator[str]:
    yield "**One row per request, against the floor**"
    yield ""
    yield (
        "| connections | CPU µs per request: ours | floor | ratio, pair by pair | promised | requests/s: ours | floor |"
        " p99 ms: ours | floor |"
    )
    yield "|---|---|---|---|---|---|---|---|---|"
    for connections, point in points.items():
        ours, floor, target = point["ours"], point["floor"], _TARGET_CPU_RATIOS[connections]
        yield _row(
            connections,
            _spread(ours["cpu"], 1e6),
            _spread(floor["cpu"], 1e6),
            _spread(point["cpu_ratio"], digits=2),
            _target(f"≤ {target}", point["cpu_ratio"]["median"] <= target),
            _spread(ours["rate"]),
            _spread(floor["rate"]),
            _spread(ours["p99"], 1e3, 2),
            _spread(floor["p99"], 1e3, 2),
        )


def _against_peers(servers: Mapping[str, Any]) -> Iterator[str]:
    yield "**One row per request, 32 connections, against peers**"
    yield ""
    yield "| server | requests/s | ours is | promised | p99 ms | CPU µs per request | PSS MB after |"
    yield "|---|---|---|---|---|---|---|"
    for name, point in servers.items():
        target = _TARGET_RATIOS.get(name)
        yield _row(
            name,
            _spread(point["rate"]),
            _spread(point["times"], digits=1) + " x" if target else "",
            _target(f"≥ {target} x", point["times"]["median"] >= target) if target else "",
            _spread(point["p99"], 1e3, 1),
            _spread(point["cpu"], 1e6),
            _spread(point["pss"]),
        )


def _many_rows(results: Mapping[str, Any]) -> Iterator[str]:
    yield "**Many rows per request, against the kernel alone**"
    yield ""
    yield (
        "| rows | connections | form | CPU ms per request | kernel alone ms | ratio | promised | median latency ms |"
        " of it, parsing JSON |"
    )
    yield "|---|---|---|---|---|---|---|---|---|"
    for point in results["points"]:
        for form, measured in point["forms"].items():
            json = form == "JSON"
            yield _row(
                f"{point['rows']:,}",
                str(point["connections"]),
                form,
                _spread(measured["cpu"], 1e3, 3),
                _spread(point["library"], 1e3, 3),
                _spread(measured["cpu_ratio"], digits=2),
                "as measured" if json else _target("≤ 2", measured["cpu_ratio"]["median"] <= 2),
                _spread(measured["p50"], 1e3, 3),
                _spread(point["parse"], 1e3, 3) if json else "",
            )


def _startup(results: Mapping[str, Any]) -> Iterator[str]:
    yield "**Start and memory**"
    yield ""
    yield "| | | promised |"
    yield "|---|---|---|"
    start_target = _target("shorter", results["ratio"]["median"] < 1)
    ours, theirs = results["first_prediction"], results["import"]
    yield _row("exec to first right prediction, s", _spread(ours["wall"], digits=3), start_target)
    yield _row("`python -c 'import xgboost'`, s", _spread(theirs["wall"], digits=3), "")
    yield _row("the one by the other, pair by pair", _spread(results["ratio"], digits=2), "")
    yield _row("CPU s of both", f"{_spread(ours['cpu'], digits=3)}, {_spread(theirs['cpu'], digits=3)}", "")
    for name, memory in results["memory"].items():
        text = f"{memory['pss']:.1f} ({memory['rss']:.1f})"
        yield _row(f"PSS (RSS) MB, {name}", text, _target(f"≤ {_TARGET_MB}", memory["pss"] <= _TARGET_MB))


def _overload(results: Mapping[str, Any]) -> Iterator[str]:
    unloaded, overloaded = results["unloaded"], results["overloaded"]
    sent = max(1, overloaded["due"])
    share = {name: f"{overloaded[name] / sent:.1%}" for name in ("accepted", "refused", "unsent", "failed")}
    memory = results["pss_by_second"]
    yield f"**Open loop: {results['times']:g} times capacity for {results['seconds']} s**"
    yield ""
    yield "| | | promised |"
    yield "|---|---|---|"
    yield _row("capacity, requests/s", f"{results['capacity']:.0f}", "")
    reached = results["goodput_share"] >= 0.9
    yield _row("goodput", f"{results['goodput']:.0f} ({results['goodput_share']:.0%})", _target("≥ 90 %", reached))
    yield _row(
        "unloaded (a tenth) p50, p99 ms", f"{_ms(unloaded['accepted_p50'])}, {_ms(unloaded['accepted_p99'])}", ""
    )
    ratio = results["p99_ratio"]
    text = (
        f"{_ms(overloaded['accepted_p50'])}, {_ms(overloaded['accepted_p99'])} ({ratio:.1f} x)"
        if ratio
        else "none was accepted"
    )
    yield _row("accepted p50, p99 ms", text, _target("≤ 5 x", bool(ratio) and ratio <= 5))
    yield _row("refused (503) p99 ms", _ms(overloaded["refused_p99"]), "")
    yield _row("accepted, refused, held by a busy server, failed", ", ".join(share.values()), "")
    if memory:
        flat = max(memory) <= 1.1 * memory[0]
        yield _row("PSS MB: first, most, last", f"{memory[0]}, {max(memory)}, {memory[-1]}", _target("flat", flat))
    delay_text = (
        f"{_ms(overloaded['send_delay_p50'])}, {_ms(overloaded['send_delay_p99'])}, {_ms(overloaded['send_delay_max'])}"
    )
    delays = f"{delay_text} ms; {overloaded['generator_cpu_share']:.0%} of its core" + (
        "" if results["on_schedule"] else " — **too late: not the server's figures**"
    )
    yield _row("generator late p50, p99, most", delays, "")


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def _spread(spread: Mapping[str, float], scale: float = 1, digits: int = 0) -> str:
    median, low, high = (f"{spread[name] * scale:,.{digits}f}" for name in ("median", "low", "high"))
    return f"{median} ({low} to {high})"


def _target(text: str, reached: bool) -> str:
    return text if reached else f"{text}: **missed**"


def _ms(seconds: float | None) -> str:
    return "none" if seconds is None else f"{seconds * 1e3:.2f}"
