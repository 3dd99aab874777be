"""A plan for people, as exact text in several widths, and for programs, as a document with its schema."""

from __future__ import annotations

import io
import json
import os
from pathlib import Path

import jsonschema
import pytest
import yaml
from rich.console import Console

from controller.cli.output import console, plan_view
from controller.planning import plan_document
from tests.unit.cli.sample_plans import DOCUMENTS

SNAPSHOTS = Path(__file__).parent / "snapshots"
VIEWS = {
    "plan": ("everything", 100, False),
    "plan-narrow": ("everything", 60, False),
    "plan-whole": ("everything", 100, True),
    "plan-suspended": ("suspended", 100, False),
    "plan-later": ("later", 100, False),
    "plan-refused": ("refused", 100, False),
    "plan-nothing": ("nothing", 100, False),
    "plan-over-budget": ("over-budget", 100, False),
    "plan-over-budget-narrow": ("over-budget", 60, False),
}


def assert_matches_snapshot(name: str, text: str) -> None:
    """Compare a text with the snapshot of that name; with RENEW=1 in the environment, rewrite the file first."""
    file = SNAPSHOTS / name
    if os.environ.get("RENEW"):
        file.write_text(text, encoding="utf-8")
    assert text == file.read_text(encoding="utf-8")


def printed(view: str, *, colour: bool) -> str:
    document, width, whole = VIEWS[view]
    out = io.StringIO()
    console = Console(
        file=out, force_terminal=colour, color_system="standard" if colour else None, width=width, highlight=False
    )
    console.print(plan_view.plan_text(DOCUMENTS[document], width, whole=whole), soft_wrap=True)
    return out.getvalue()


@pytest.mark.parametrize("view", VIEWS)
def test_plan_matches_snapshot(view: str) -> None:
    """The plan equals its file in `snapshots/`. After an intended change, RENEW=1 rewrites it; read the diff."""
    assert_matches_snapshot(f"{view}.txt", printed(view, colour=False))


def test_colours_add_nothing_but_colour() -> None:
    """On a terminal, the words are the same; forcing fields, additions and deletions have colours."""
    assert_matches_snapshot("plan-colour.txt", printed("plan", colour=True))


@pytest.mark.parametrize("width", [60, 80, 100, 132])
def test_no_line_is_wider_than_the_terminal(width: int) -> None:
    """A wider line would wrap into the columns of the next; only names and paths may exceed the width."""
    for document in DOCUMENTS.values():
        for line in plan_view.plan_text(document, width).plain.splitlines():
            unbroken = [step.object for step in document.steps] + [c.path for s in document.steps for c in s.changes]
            assert len(line) <= width or any(name in line and len(name) + 30 > width for name in unbroken), line


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_plan_is_as_the_schema_says(name: str) -> None:
    """JSON and YAML hold the same document; the schema accepts it, but not with a field less or more."""
    schema = json.loads(plan_document.schema())
    jsonschema.Draft7Validator.check_schema(schema)
    check = jsonschema.Draft7Validator(schema)
    data = DOCUMENTS[name].model_dump(mode="json", by_alias=True)
    assert json.loads(console.to_json(data)) == yaml.safe_load(console.to_yaml(data)) == data
    assert not list(check.iter_errors(data))
    assert data["apiVersion"] == "moorage/v1alpha1"
    for key in data:
        assert list(check.iter_errors({other: value for other, value in data.items() if other != key})), key
    assert list(check.iter_errors(data | {"cpu": 1}))


def test_plan_counts_now_later_held_and_refused() -> None:
    """Steps now, later, held and refused have separate counts; a held training isn't listed in `trains`."""
    data = DOCUMENTS["everything"]
    assert data.summary.now == {"create": 1, "update": 3, "revise": 2, "replace": 1, "adopt": 1, "delete": 1}
    assert (data.summary.later, data.summary.held, data.summary.refused) == ({"update": 1}, {"update": 1}, 1)
    assert data.trains == ("housing-model",)
    suspended = DOCUMENTS["suspended"]
    assert (suspended.trains, suspended.acts, DOCUMENTS["only drifted"].acts) == ((), False, False)
    assert DOCUMENTS["refused"].acts


def test_no_secret_gets_into_a_plan() -> None:
    """A secret, known by its variable's name or its shape, appears in no form of the plan."""
    document = DOCUMENTS["everything"]
    shown = document.text() + plan_view.plan_text(document, whole=True).plain
    assert "hunter" not in shown
    assert "DB_PASSWORD" in shown
    variables = [{"name": "API_TOKEN", "value": "t0ken"}, {"name": "A", "value": "AKIAIOSFODNN7EXAMPLE"}]
    secret = {"name": "SALT", "valueFrom": "arn:aws:ssm:us-east-1:123456789012:parameter/salt"}
    public = plan_document._redact_value([{"environment": variables, "secrets": [secret]}])
    assert public == [
        {
            "environment": [{"name": "API_TOKEN", "value": "[redacted]"}, {"name": "A", "value": "[redacted]"}],
            "secrets": [secret],
        }
    ]
