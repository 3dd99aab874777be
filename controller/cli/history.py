"""`moorage history`: show the revisions of a model, from the store."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.text import Text

from controller.cli.get import Environments, find_status
from controller.cli.options import BackendOptions, FileOptions, Name, Output
from controller.cli.output import console
from controller.cli.output.columns import Cell, align_columns, style_status
from controller.core.history import Revision
from controller.environments.factory import open_store

_SHORT = 12  # characters of a commit or a digest: enough to compare them by eye


def history(
    name: Name,
    /,
    *,
    environment: Environments = "default",
    files: FileOptions = FileOptions(),
    place: BackendOptions = BackendOptions(),
    form: Output = "table",
) -> int:
    """Show each revision with its commit, model version, image and result, oldest first.

    A generation is a change of the spec or of its data. It has several lines if it served several models or images.
    """
    store = open_store(files.file, environment, home=place.home, local=place.local)
    found = find_status(store, environment, name).history
    console.print_result(
        form,
        table=lambda wide: table(found, wide=wide),
        data=lambda: [data(revision) for revision in found],
        names=[str(revision.generation) for revision in found],
    )
    return 0


def table(history: Sequence[Revision], *, wide: bool = False) -> Text:
    """Render one line for each revision; `wide` shows commits, authors and digests in full."""
    rows: list[Sequence[Cell]] = [("GENERATION", "TIME", "COMMIT", "AUTHOR", "MODEL", "IMAGE", "RESULT", "MESSAGE")]
    for revision in history:
        commit, digest = revision.commit, revision.image.rpartition("@")[2]
        rows.append(
            (
                str(revision.generation),
                revision.time,
                commit if wide else commit[:_SHORT],
                revision.author if wide else revision.author.partition(" <")[0],
                str(revision.version or ""),
                revision.image if wide else digest.removeprefix("sha256:")[:_SHORT],
                style_status(revision.result),
                revision.message,
            )
        )
    return align_columns(rows)


def data(revision: Revision) -> dict[str, Any]:
    """Return a revision as JSON; unknown values are null."""
    return {
        "generation": revision.generation,
        "time": revision.time,
        "commit": revision.commit or None,
        "author": revision.author or None,
        "modelVersion": revision.version or None,
        "image": revision.image or None,
        "taskDefinition": revision.task_definition or None,
        "result": revision.result,
        "message": revision.message,
    }
