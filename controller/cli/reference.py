"""The reference page of the spec, written from the models."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from controller.spec import explain, hyperparameters
from controller.spec.models import KINDS

_HEAD = """# Spec reference

<!-- Made from controller/spec by `make generate`; edits here are lost. -->

Every field of the two kinds, with what it takes and what holds when it is left out. `moorage explain PATH` shows the same
in a terminal; `controller/spec/schema/` has it as JSON Schema. How to write a spec: [Writing specs](../specs.md).
"""


def page() -> str:
    """Write the whole page as Markdown."""
    return "\n".join([_HEAD, *(line for kind in KINDS for line in _kind(kind)), *_hyperparameters()]) + "\n"


def _kind(kind: str) -> Iterator[str]:
    root = explain.find(kind)
    if root is None or root.block is None:
        return
    everything = list(explain.walk(root.block, ""))
    sections = [
        field for field in everything if field.path.count(".") == 1 and field.block and field.path[:4] == "spec"
    ]
    inside = tuple(f"{section.path}." for section in sections)
    yield from (f"## {kind}", "", root.doc, "")
    yield from _table(field for field in everything if not field.path.startswith(inside))
    for section in sections:
        yield from (f"### {kind}: `{section.path}`", "", section.doc, "")
        yield from _table(field for field in everything if field.path.startswith(f"{section.path}."))


def _table(fields: Iterable[explain.Field]) -> Iterator[str]:
    yield "| field | takes | default | meaning |"
    yield "|---|---|---|---|"
    for field in fields:
        default = "*required*" if field.required else f"`{field.default}`" if field.default else ""
        yield f"| `{field.path}` | {field.takes} | {default} | {field.doc} |"
    yield ""


def _hyperparameters() -> Iterator[str]:
    yield "## Hyperparameters"
    yield ""
    yield "What SageMaker's XGBoost takes; any other name would fail the job and is refused before it starts. Source:"
    yield "<https://docs.aws.amazon.com/sagemaker/latest/dg/xgboost_hyperparameters.html>."
    yield ""
    yield "| name | takes |"
    yield "|---|---|"
    aliases = {name: alias for alias, name in hyperparameters.ALIASES.items()}
    for name, domain in hyperparameters.TABLE.items():
        also = f", also `{aliases[name]}`" if name in aliases else ""
        required = " (required)" if name == "num_round" else ""
        yield f"| `{name}`{also}{required} | {domain} |"
