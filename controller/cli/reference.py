"""Generate the reference pages of the spec, the commands and the metrics from the code."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from controller.cli import app
from controller.engine.metrics import Metrics
from controller.spec import explain, hyperparameters
from controller.spec.models import KINDS

_HEAD = """# Spec reference

<!-- Made from controller/spec by `make generate`; edits here are lost. -->

Every field of the two kinds: what it takes, its default, its meaning. `moorage explain PATH` shows the same in a
terminal; `controller/spec/schema/` has it as JSON Schema. How to write a spec:
[Writing specs](../how-to/write-specs.md).
"""


_COMMANDS_HEAD = """# Command reference

<!-- Made from controller/cli by `make generate`; edits here are lost. -->

stdout is data, stderr is progress. Every command works the same with and without a terminal. `NO_COLOR` turns colours
off. `MOORAGE_DEBUG=1` adds the traceback to an error. Credentials, profiles and
`AWS_ENDPOINT_URL` work as in every AWS SDK. `reconcile` is also installed as a command of its own.

| exit code | meaning |
|---|---|
| 0 | done |
| 1 | unexpected error: a bug |
| 2 | wrong usage, or invalid specs or data; nothing was applied |
| 3 | credentials are missing, expired or for another account |
| 4 | a resource failed |
| 5 | stopped by a gate, an approval or a policy |
| 6 | not found |
| 8 | another controller holds the lease |
| 9 | `--timeout` passed; work that AWS has started continues, and the next run resumes |
| 130 | interrupted |

`plan --detailed-exitcode`: 0 no changes, 1 error, 2 changes. `diff`: 0 no difference, 1 differences, above 1 error.
"""


_METRICS_HEAD = """# Metrics

<!-- Made from controller/engine/metrics.py by `make generate`; edits here are lost. -->

The metrics that `reconcile` serves at `/metrics` while it runs as a loop; see
[Running the controller](../how-to/run-the-controller.md).
"""


def commands() -> str:
    """Return the command reference as Markdown."""
    page = app.generate_docs(output_format="markdown", recursive=True, heading_level=1)
    _, _, listed = page.partition("\n## moorage ")
    return f"{_COMMANDS_HEAD}\n## moorage {listed.strip()}\n"


def metrics() -> str:
    """Return the reference of the loop's metrics as Markdown."""
    rows = (f"| `{name}` | {kind} | {meaning} |" for name, kind, meaning in Metrics().describe())
    return "\n".join([_METRICS_HEAD, "| metric | type | meaning |", "|---|---|---|", *rows]) + "\n"


def page() -> str:
    """Return the spec reference as Markdown."""
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
        yield f"| `{field.path}` | {field.type_name} | {_default(field)} | {field.doc} |"
    yield ""


def _default(field: explain.FieldDescription) -> str:
    if field.required:
        return "*required*"
    return f"`{field.default}`" if field.default else ""


def _hyperparameters() -> Iterator[str]:
    yield "## Hyperparameters"
    yield ""
    yield "The hyperparameters of SageMaker's XGBoost. Moorage rejects any other name, as the job would fail. Source:"
    yield "<https://docs.aws.amazon.com/sagemaker/latest/dg/xgboost_hyperparameters.html>."
    yield ""
    yield "| name | takes |"
    yield "|---|---|"
    aliases = {name: alias for alias, name in hyperparameters.ALIASES.items()}
    for name, domain in hyperparameters.HYPERPARAMETER_DOMAINS.items():
        also = f", also `{aliases[name]}`" if name in aliases else ""
        required = " (required)" if name == "num_round" else ""
        yield f"| `{name}`{also}{required} | {domain} |"
