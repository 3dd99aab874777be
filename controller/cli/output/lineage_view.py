"""Render the lineage of a model, from route to commit, as text and as JSON. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rich.text import Text

from controller.cli.output.columns import Cell, align_columns
from controller.core.values import Value
from controller.lineage import Hop, Lineage

# The facts of a hop that the text shows, one a line.
_SHOWN = (
    "endpoint",
    "routes",
    "service",
    "healthy",
    "repository",
    "approval",
    "metrics",
    "hyperparameters",
    "channels",
)


def lineage_text(lineage: Lineage) -> Text:
    """Render each hop with its facts, and below them its problem. Several paths follow each other."""
    return Text("\n\n").join(align_columns([row for hop in path for row in _rows(hop)]) for path in lineage.paths)


def lineage_data(lineage: Lineage) -> dict[str, Any]:
    """Return every hop with all its facts as JSON; `problem` is null if nothing is wrong."""
    return {
        "environment": lineage.owner.environment,
        "name": lineage.owner.name,
        "whole": lineage.is_complete,
        "ways": [[_hop(hop) for hop in path] for path in lineage.paths],
    }


def _hop(hop: Hop) -> dict[str, Any]:
    return {"hop": hop.kind, "id": hop.id or None, **hop.facts, "problem": hop.problem or None}


def _rows(hop: Hop) -> Iterator[tuple[Cell, ...]]:
    facts = [_fact(name, hop.facts[name]) for name in _SHOWN if hop.facts.get(name)]
    lines = [Text(hop.id)] if hop.id else []
    lines += [Text(line, "dim") for fact in facts for line in fact]
    lines += [Text(f"! {hop.problem}", "red")] if hop.problem else []
    for index, line in enumerate(lines):
        yield Text("" if index else hop.kind, "bold"), line


def _fact(name: str, value: Value) -> list[str]:
    if name == "channels":
        return [f"{channel} {url}" for channel, url in value.items()]
    if isinstance(value, Mapping):
        return [", ".join(f"{key} {_number(item)}" for key, item in value.items())]
    if isinstance(value, list):
        return [", ".join(map(str, value))]
    return [f"{value} {name}" if isinstance(value, int) else str(value)]


def _number(value: Value) -> str:
    return f"{value:,.6g}" if isinstance(value, float) else str(value)
