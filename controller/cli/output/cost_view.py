"""Render the cost of a spec below its steps. Pure: the costs of a plan document in, lines out."""

from __future__ import annotations

from collections.abc import Iterator
from textwrap import wrap

from rich.text import Text

from controller.planning.plan_cost import CostLine, PlannedCost

_INDENT = " " * 6
# Storage and logs cost cents for models of this size; the traffic is unknown (docs/adr/0065).
_LEFT_OUT = "storage, logs, traffic"


def cost_lines(cost: PlannedCost, width: int) -> Iterator[Text]:
    """Render the items of a month, a training run, and the same load on SageMaker.

    Lines are at most `width` characters wide, except for long names.
    """
    prices = f", at list prices of {cost.prices_from} and later" if cost.prices_from else ""
    heading = f"costs in USD, for {cost.requests:,} requests a month in {cost.region}{prices}:"
    yield from _wrapped(heading, width, "  ")
    rows = list(_rows(cost))
    name, usd = (max(len(row[column]) for row in rows) for column in (0, 1))
    for row in rows:
        head = f"{_INDENT}{row[0].ljust(name)}  {row[1].rjust(usd)}"
        if not row[2] or len(head) + 2 + len(row[2]) <= width:
            yield Text(f"{head}  {row[2]}".rstrip())
        else:
            yield Text(head)
            yield from _wrapped(row[2], width, f"{_INDENT}  ")
    if cost.over:
        yield from _wrapped(f"held: {cost.over}", width, _INDENT, "yellow")


def cost_summary(cost: PlannedCost) -> str:
    """Summarise the cost: `Costs 15.28 USD a month for 1,000,000 requests, 0.12 USD a training run`."""
    more = f" (without {' and '.join(cost.unpriced)}: no price known)" if cost.unpriced else ""
    run = f"{format_amount(cost.training.usd)} USD" if cost.training.usd is not None else "an unknown amount"
    over = f" Held: {cost.over}." if cost.over else ""
    month = f"{format_amount(cost.monthly)} USD a month{more} for {cost.requests:,} requests"
    return f"Costs {month}, {run} a training run.{over}"


def format_amount(usd: float | None) -> str:
    """Format an amount in cents, and never show zero for a real cost: `7.39`, `< 0.01`, `no price known`."""
    if usd is None:
        return "no price known"
    return "< 0.01" if 0 < usd < 0.005 else f"{usd:,.2f}"


def _rows(cost: PlannedCost) -> Iterator[tuple[str, str, str]]:
    yield from (_row("", line) for line in cost.month)
    unknown = " and items without a known price" if cost.unpriced else ""
    notes = [f"without {_LEFT_OUT}{unknown}"]
    notes += [f"policy.maxMonthlyCost is {format_amount(cost.limit)}"] if cost.limit is not None else []
    yield "a month", format_amount(cost.monthly), "; ".join(notes)
    yield _row("", cost.training)
    yield from (_row("instead: ", line) for line in cost.instead)
    yield from (_row("shared: ", line) for line in cost.shared)


def _row(kind: str, line: CostLine) -> tuple[str, str, str]:
    return f"{kind}{line.name}", format_amount(line.usd), line.detail


def _wrapped(text: str, width: int, indent: str, style: str = "dim") -> Iterator[Text]:
    folded = wrap(text, max(width, 20), initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False)
    return (Text(line, style) for line in folded)
