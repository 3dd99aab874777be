"""The reference pages: of the spec, written from the models, and of the commands, written from their options."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from controller.cli import app
from controller.engine.metrics import Metrics
from controller.spec import explain, hyperparameters
from controller.spec.models import KINDS

_HEAD = """# Spec reference

<!-- Made from controller/spec by `make generate`; edits here are lost. -->

Every field of the two kinds, with what it takes and what holds when it is left out. `moorage explain PATH` shows the same
in a terminal; `controller/spec/schema/` has it as JSON Schema. How to write a spec: [Writing specs](../how-to/write-specs.md).
"""


_COMMANDS_HEAD = """# Command reference

<!-- Made from controller/cli by `make generate`; edits here are lost. -->

stdout is data, stderr is progress. Everything works without a terminal exactly as with one; `NO_COLOR` is honoured.
`MOORAGE_DEBUG=1` adds the traceback to an error. Credentials, profiles and `AWS_ENDPOINT_URL` work as in every AWS program.
`reconcile` is installed as a command of its own, too.

| exit code | means |
|---|---|
| 0 | done |
| 1 | unexpected |
| 2 | usage, or invalid specs or data; nothing was applied |
| 3 | credentials |
| 4 | a resource failed |
| 5 | stopped by a gate, an approval or a policy |
| 6 | not found |
| 8 | another controller is at work on this state directory |
| 9 | time ran out; the work goes on, and another run resumes |
| 130 | interrupted |

`plan --detailed-exitcode`: 0 no changes, 1 error, 2 changes. `diff`: 0 as declared, 1 differs, above 1 error.
"""


_METRICS_HEAD = """# Metrics

<!-- Made from controller/engine/metrics.py by `make generate`; edits here are lost. -->

What `reconcile` tells at `/metrics` while it runs as a loop; see [Running the controller](../how-to/run-the-controller.md).
"""


def commands() -> str:
    """Write the page of the commands as Markdown."""
    page = app.generate_docs(output_format="markdown", recursive=True, heading_level=1)
    _, _, listed = page.partition("\n## moorage ")
    return f"{_COMMANDS_HEAD}\n## moorage {listed.strip()}\n"


def metrics() -> str:
    """Write the page of the loop's metrics as Markdown."""
    rows = (f"| `{name}` | {kind} | {meaning} |" for name, kind, meaning in Metrics().describe())
    return "\n".join([_METRICS_HEAD, "| metric | type | meaning |", "|---|---|---|", *rows]) + "\n"


def page() -> str:
    """Write the page of the spec as Markdown."""
    return "\n".join([_HEAD, *(line for kind in KINDS for line in _kind(kind)), *_hyperparameters()]) + "\n"


def _kind(kind: str) -> Iterator[str]:
    root = explain.find_field(kind)
    if root is None or root.model is None:
        return
    everything = list(explain.walk_fields(root.model, ""))
    sections = [
        field for field in everything if field.path.count(".") == 1 and field.model and field.path[:4] == "spec"
    ]
    inside = tuple(f"{section.path}." for section in sections)
    yield from (f"## {kind}", "", root.doc, "")
    yield from _table(field for field in everything if not field.path.startswith(inside))
    for section in sections:
        yield from (f"### {kind}: `{section.path}`", "", section.doc, "")
        yield from _table(field for field in everything if field.path.startswith(f"{section.path}."))


def _table(fields: Iterable[explain.FieldDescription]) -> Iterator[str]:
    yield "| field | takes | default | meaning |"
    yield "|---|---|---|---|"
    for field in fields:
        default = "*required*" if field.required else f"`{field.default}`" if field.default else ""
        yield f"| `{field.path}` | {field.type_name} | {default} | {field.doc} |"
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
    for name, domain in hyperparameters.HYPERPARAMETER_DOMAINS.items():
        also = f", also `{aliases[name]}`" if name in aliases else ""
        required = " (required)" if name == "num_round" else ""
        yield f"| `{name}`{also}{required} | {domain} |"
