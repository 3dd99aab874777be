"""Tables, descriptions, events and progress, exactly as printed."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from controller.cli import explain
from controller.cli.output import event_view, status_view
from controller.cli.output.progress_view import Progress, heartbeat, render_tree
from controller.core.status import Condition, Event, ResourceState, Status
from controller.core.values import Key
from controller.spec import explain as fields
from controller.spec.load import load_specs

ROOT = Path(__file__).resolve().parents[3]
ENVIRONMENT = Key("default", "Environment", "default")
MODEL = Key("default", "ModelService", "housing-model")


READY = Status(
    MODEL,
    3,
    "d" * 64,
    (
        Condition("Ready", "True", "Reconciled", "", "2026-11-23T08:00:00Z", 3),
        Condition("Approved", "False", "GateFailed", "test rmse is 51000, above 50500", "2026-11-23T07:00:00Z", 3),
    ),
    {
        "endpoint": "http://127.0.0.1:8000/api",
        "model": {"version": 2, "sha256": "ab" * 32, "metrics": {"test": {"rmse": 49610.4, "mae": 0.25}}},
        "image": "r@sha256:1",
    },
    (
        ResourceState(Key("default", "ecs/service", "housing-model"), "arn:aws:ecs:x", "Ready"),
        ResourceState(Key("default", "ecs/cluster", "/"), "", "Waiting", "ACTIVE soon"),
    ),
)
NEW = Status(ENVIRONMENT, 1, "e" * 64)


def test_the_table_has_a_line_for_each_spec() -> None:
    """A spec without conditions is Unknown; numbers are rounded for people."""
    assert status_view.status_table([NEW, READY]).plain == (
        "KIND           NAME            READY     STATUS       VERSION   TEST RMSE   ENDPOINT"
        "                    MESSAGE\n"
        "Environment    default         Unknown\n"
        "ModelService   housing-model   True      Reconciled   2         49,610      http://127.0.0.1:8000/api"
    )


def test_the_wide_table_says_more() -> None:
    """`-o wide` adds the long values and keeps the other columns."""
    assert (
        status_view.status_table([READY], wide=True)
        .plain.splitlines()[1]
        .endswith("default       3            abababababab   r@sha256:1")
    )


EVENTS = [
    Event(
        "2026-11-23T08:00:00Z",
        MODEL,
        "Normal",
        "Created",
        "cpu, memory",
        Key("default", "ecs/service", "housing-model"),
    ),
    Event("2026-11-23T08:00:01Z", MODEL, "Warning", "GateFailed", "Approved is False"),
]


def test_describe_shows_all_sections() -> None:
    """`describe` prints one block each for facts with their paths, conditions, resources and events."""
    assert status_view.description(READY, EVENTS).plain == (
        "Kind                      ModelService\n"
        "Name                      housing-model\n"
        "Environment               default\n"
        "Generation                3\n"
        "Endpoint                  http://127.0.0.1:8000/api\n"
        "Model.version             2\n"
        f"Model.sha256              {'ab' * 32}\n"
        "Model.metrics.test.rmse   49,610\n"
        "Model.metrics.test.mae    0.25\n"
        "Image                     r@sha256:1\n"
        "\n"
        "CONDITION   STATUS   REASON       SINCE                  MESSAGE\n"
        "Ready       True     Reconciled   2026-11-23T08:00:00Z\n"
        "Approved    False    GateFailed   2026-11-23T07:00:00Z   test rmse is 51000, above 50500\n"
        "\n"
        "RESOURCE                    STATE     MESSAGE       ID\n"
        "ecs/service housing-model   Ready                   arn:aws:ecs:x\n"
        "ecs/cluster                 Waiting   ACTIVE soon\n"
        "\n"
        "TIME                   TYPE      REASON       OBJECT                       MESSAGE\n"
        "2026-11-23T08:00:00Z   Normal    Created      ecs/service housing-model    cpu, memory\n"
        "2026-11-23T08:00:01Z   Warning   GateFailed   ModelService housing-model   Approved is False"
    )  # fmt: skip


def test_an_object_is_the_spec_with_its_status() -> None:
    """`get -o json` has the declared spec, and the status with its public field names."""
    declared = load_specs([ROOT / "specs"]).services["housing-model"].model
    data = json.loads(json.dumps(status_view.status_object(READY, declared)))
    assert list(data) == ["apiVersion", "kind", "metadata", "spec", "status"]
    assert data["metadata"] == {"name": "housing-model", "labels": {"team": "pricing"}, "environment": "default"}
    assert data["spec"]["service"]["cpu"] == 256
    assert data["status"]["observedGeneration"] == 3
    assert data["status"]["endpoint"] == "http://127.0.0.1:8000/api"
    assert data["status"]["model"]["metrics"]["test"]["rmse"] == 49610.4
    assert data["status"]["conditions"][1] == {
        "type": "Approved",
        "status": "False",
        "reason": "GateFailed",
        "message": "test rmse is 51000, above 50500",
        "lastTransitionTime": "2026-11-23T07:00:00Z",
        "observedGeneration": 3,
    }
    assert data["status"]["resources"][1] == {
        "key": "ecs/cluster",
        "id": "",
        "state": "Waiting",
        "message": "ACTIVE soon",
    }
    assert "spec" not in status_view.status_object(READY, None)


def test_an_event_is_json() -> None:
    """`--events` and `events -o json` write an event in this form."""
    assert event_view.event_data(EVENTS[1]) == {
        "time": "2026-11-23T08:00:01Z",
        "type": "Warning",
        "reason": "GateFailed",
        "message": "Approved is False",
        "environment": "default",
        "kind": "ModelService",
        "name": "housing-model",
        "resource": None,
    }


def test_a_field_is_explained_with_what_is_below_it() -> None:
    """`moorage explain` shows path, type, default, meaning and the fields below."""
    spot = fields.find_field("modelservice.spec.training.spot")
    assert spot is not None
    assert explain.text(spot).plain == (
        "FIELD   modelservice.spec.training.spot\n"
        "TAKES   mapping\n"
        "\n"
        "Managed spot training.\n"
        "\n"
        "FIELDS (* required)\n"
        "  enabled   true or false   Whether to train on spare capacity;"
        " an interrupted job starts from the first round again.\n"
        "  maxWait   duration        How long to wait for capacity and training together; needed with `enabled`."
    )


class Clock:
    """A clock that moves only when a test sets it."""

    time = 0.0

    def __call__(self) -> float:
        return self.time


def test_progress_without_a_terminal_is_lines_and_a_heartbeat() -> None:
    """Without a terminal, progress is a line for each event, and a heartbeat after 30 s without output."""
    out, clock = io.StringIO(), Clock()
    waiting = Status(MODEL, 1, "", (Condition("Ready", "False", "InProgress", "training"),))
    with Progress(Console(file=out, highlight=False), clock) as progress:
        progress.emit(EVENTS[0])
        clock.time = 29
        progress.on_pass([waiting])
        clock.time = 31
        progress.on_pass([waiting])
        progress.on_pass([waiting])
    assert out.getvalue() == (
        "ecs/service housing-model  Created  cpu, memory\nstill in progress: housing-model: training\n"
    )


def test_progress_on_a_terminal_is_a_tree() -> None:
    """On a terminal, progress shows each spec with its resources that aren't ready yet."""
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=80, color_system=None)
    with Progress(console, Clock()) as progress:
        progress.on_pass([READY])
    assert "ecs/cluster  Waiting  ACTIVE soon" in out.getvalue()
    plain = io.StringIO()
    Console(file=plain, width=80).print(render_tree([READY]))
    assert plain.getvalue() == "housing-model  Reconciled\n└── ecs/cluster  Waiting  ACTIVE soon\n"


def test_the_heartbeat_without_anything_to_wait_for() -> None:
    """A run whose specs have no conditions yet still prints a heartbeat."""
    assert heartbeat([NEW]) == "still in progress"


@pytest.mark.parametrize(("colour", "expected"), [({"NO_COLOR": "1"}, False), ({}, True)])
def test_no_color_is_honoured(colour: dict[str, str], expected: bool) -> None:
    """NO_COLOR in the environment turns colours off, even on a terminal."""
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, _environ={"TERM": "xterm", **colour})
    console.print(status_view.resource_table([READY]))
    assert ("\x1b[32m" in out.getvalue()) is expected
