"""`moorage validate`: report every problem of specs and their data in one run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.text import Text

from controller.cli.options import BackendOptions, FileOptions, Output
from controller.cli.output import console
from controller.cli.output.columns import Cell, align_columns
from controller.dataset import Dataset
from controller.sources.snapshots import read_data
from controller.spec.load import load_specs
from controller.spec.loaded import LoadedSpec
from controller.spec.models import Environment, ModelService


def validate(
    *, files: FileOptions = FileOptions(), place: BackendOptions = BackendOptions(), form: Output = "table"
) -> int:
    """Check specs and their data without calling AWS."""
    del place
    specs = load_specs(files.file)
    data = read_data(specs)
    documents = specs.documents
    console.print_result(
        form,
        table=lambda _: _table(documents, data),
        data=lambda: [_data(document) for document in documents],
        names=[f"{document.model.kind.lower()}/{document.model.name}" for document in documents],
    )
    return 0


def _table(documents: Sequence[LoadedSpec[Environment] | LoadedSpec[ModelService]], data: dict[str, Dataset]) -> Text:
    head: tuple[Cell, ...] = ("KIND", "NAME", "FILE", "DATA")
    rows = [(d.model.kind, d.model.name, d.document.source.file, _rows(d, data)) for d in documents]
    return align_columns([head, *rows])


def _rows(document: LoadedSpec[Environment] | LoadedSpec[ModelService], data: dict[str, Dataset]) -> str:
    if document.model.kind != "ModelService":
        return ""
    found = data[document.model.name]
    parts = ", ".join(f"{channel.rows:,} {name}" for name, channel in found.channels.items())
    return f"{len(found.features)} features; rows: {parts}"


def _data(document: LoadedSpec[Environment] | LoadedSpec[ModelService]) -> dict[str, Any]:
    return document.model.model_dump(mode="json", by_alias=True, exclude_none=True)
