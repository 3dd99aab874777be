"""The output of `moorage history` for a revision."""

from __future__ import annotations

from controller.cli.history import data, table
from controller.core.history import Revision

READY = Revision(
    2,
    "2026-11-23T10:00:00Z",
    "c0ffee" * 7,
    "Ada <ada@example.com>",
    7,
    f"123456789012.dkr.ecr.us-east-1.amazonaws.com/m@sha256:{'ab' * 32}",
    "arn:aws:ecs:us-east-1:123456789012:task-definition/m:4",
    "Ready",
)


def test_line_shows_author_commit_and_time() -> None:
    """The table shows the author's name and short commits and digests; `wide` shows all in full."""
    head, line = table([READY]).plain.splitlines()
    assert head.split() == ["GENERATION", "TIME", "COMMIT", "AUTHOR", "MODEL", "IMAGE", "RESULT", "MESSAGE"]
    assert line.split() == ["2", READY.time, "c0ffeec0ffee", "Ada", "7", "abababababab", "Ready"]
    wide = table([READY], wide=True).plain
    assert READY.author in wide
    assert READY.image in wide


def test_unknown_values_are_null_in_json() -> None:
    """Outside Git, commit and author are null; before the first version serves, model and image are too."""
    assert data(READY)["author"] == "Ada <ada@example.com>"
    assert data(READY)["taskDefinition"] == READY.task_definition
    bare = data(Revision(1, "t"))
    names = ("commit", "author", "modelVersion", "image", "taskDefinition")
    assert [bare[name] for name in names] == [None] * 5
