"""Render permissions as a table and as IAM policy documents. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import groupby
from typing import Any

from rich.text import Text

from controller.cli.output.columns import Cell, align_columns
from controller.permissions import UNSCOPED_ACTIONS, Grant, PolicyDocument, policy_size


def policy_text(grants: Mapping[str, Iterable[Grant]]) -> Text:
    """Render one line for each action and resource of each environment; a wildcard has the reason beside it."""
    return Text("\n\n").join(_environment(name, granted) for name, granted in grants.items())


def policy_data(named: Mapping[str, PolicyDocument], grants: Iterable[Iterable[Grant]]) -> dict[str, Any]:
    """Return the documents as `aws iam create-policy` takes them, and the reason for each wildcard."""
    actions = {grant.action for granted in grants for grant in granted if grant.arn == "*"}
    documents = [
        {"name": name, "characters": policy_size(document), "document": document} for name, document in named.items()
    ]
    return {"policies": documents, "wildcards": {action: _why(action) for action in sorted(actions)}}


def _environment(name: str, granted: Iterable[Grant]) -> Text:
    rows: list[tuple[Cell, ...]] = [(Text(f"environment {name}", "bold"),), ("ACTION", "WHERE", "ONLY IF")]
    for action, group in groupby(sorted(granted), key=lambda grant: grant.action):
        for number, grant in enumerate(group):
            conditions = ", ".join(f"{key} = {value}" for key, value in grant.conditions)
            why = Text(f"# {_why(action)}", "dim") if grant.arn == "*" and not conditions else conditions
            rows.append(("" if number else action, grant.arn, why))
    return align_columns(rows[:1]) + Text("\n") + align_columns(rows[1:])


def _why(action: str) -> str:
    return UNSCOPED_ACTIONS.get(action, "it takes no resource ARN; a condition limits it")
