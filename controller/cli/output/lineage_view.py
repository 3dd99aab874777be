"""A model's way back to its commit, for people and as JSON. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rich.text import Text

from controller.cli.output.columns import Cell, align_columns
from controller.core.values import Value
from controller.lineage import Hop, Lineage

# What of a hop's facts people see, in lines of their own.
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
    """Each hop with what is told of it, and below that what is wrong with it. Several ways follow each other."""
    return Text("\n\n").join(align_columns([row for hop in way for row in _rows(hop)]) for way in lineage.paths)


def lineage_data(lineage: Lineage) -> dict[str, Any]:
    """Give every hop with all its facts; `problem` is null where nothing is wrong."""
    return {
        "environment": lineage.owner.environment,
        "name": lineage.owner.name,
        "whole": lineage.is_complete,
        "ways": [[_hop(hop) for hop in way] for way in lineage.paths],
    }


def _hop(hop: Hop) -> dict[str, Any]:
    return {"hop": hop.kind, "id": hop.id or None, **hop.facts, "problem": hop.problem or None}


def _rows(hop: Hop) -> Iterator[tuple[Cell, ...]]:
    told = [_fact(name, hop.facts[name]) for name in _SHOWN if hop.facts.get(name)]
    lines = [Text(hop.id)] if hop.id else []
    lines += [Text(line, "dim") for lines_ in told for line in lines_]
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
