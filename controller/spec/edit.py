"""Changes one value of a spec in its file's text, and nothing else of it: comments, order and layout stay as they were.

The text is edited at the places that loading found, and loaded again: an edit that would change anything else is
refused.
"""

from __future__ import annotations

import copy
from typing import Any

from controller.errors import UsageError
from controller.spec.findings import DocumentPath
from controller.spec.load import load_text
from controller.spec.loaded import LoadedSpec
from controller.spec.source_file import Document, SourcePosition

# A section that isn't there yet goes before the first of these that is.
_SECTIONS_AFTER_MODEL = ("image", "service", "api", "policy")


def pin_version(loaded: LoadedSpec[Any], version: int) -> str:
    """Return the whole text of a ModelService's file with `spec.model.version` set.

    Raises UsageError if it can't be done safely.
    """
    document = loaded.document
    text = _edit(document, version)
    wanted = copy.deepcopy(document.value)
    wanted["spec"]["model"] = {**(wanted["spec"].get("model") or {}), "version": version}
    found = load_text(text, document.source.file).services.get(loaded.model.name)
    if found is None or found.document.value != wanted:
        raise UsageError(
            "this file can't be edited without changing more of it",
            where=document.source.file,
            hint=f"set spec.model.version to {version} by hand",
        )
    return text


def _edit(document: Document, version: int) -> str:
    path: DocumentPath = ("spec", "model", "version")
    if document.has(path):
        return _replace(document, document.value_positions[path], str(version))
    if document.has(path[:2]) and isinstance(document.get(path[:2]), dict):
        return _insert(document, path[:2], "", f"version: {version}")
    spec = document.get(("spec",))
    before = next((name for name in _SECTIONS_AFTER_MODEL if name in spec), "")
    return _insert(document, ("spec",), before, f"model: {{version: {version}}}")


def _replace(document: Document, position: SourcePosition, new: str) -> str:
    lines = document.source.text.splitlines(keepends=True)
    line = lines[position.line - 1]
    lines[position.line - 1] = line[: position.column - 1] + new + line[position.column - 1 + position.width :]
    return "".join(lines)


def _insert(document: Document, parent: DocumentPath, before: str, entry: str) -> str:
    """Put an entry into a mapping: before the key of that name, or as the first."""
    lines = document.source.text.splitlines(keepends=True)
    start = document.value_positions[parent]
    flow = lines[start.line - 1][start.column - 1] == "{"
    place = document.key_positions[(*parent, before)] if before else start
    column = place.column - 1 + (flow and not before)
    line = lines[place.line - 1]
    if flow:
        comma = ", " if document.get(parent) else ""
        lines[place.line - 1] = f"{line[:column]}{entry}{comma}{line[column:]}"
    else:
        lines.insert(place.line - 1, f"{' ' * column}{entry}\n")
    return "".join(lines)
