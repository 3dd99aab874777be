"""What a run in GitHub Actions adds: annotations at the lines of spec files, and a step summary.

Formats: https://docs.github.com/actions/reference/workflow-commands-for-github-actions
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from controller.core.status import Status
from controller.errors import MoorageError, Problem, SpecError


def annotate(error: MoorageError) -> None:
    """Tell the workflow of an error, each Problem at its line; nothing elsewhere than in GitHub Actions."""
    if os.environ.get("GITHUB_ACTIONS") != "true":
        return
    from controller.aws.log import redact_text

    problems = error.problems if isinstance(error, SpecError) else ()
    lines = [annotation(problem) for problem in problems] or [f"::error title=moorage::{_data(str(error))}"]
    # stdout is data; the runner reads commands on stderr, too.
    print(redact_text("\n".join(lines)), file=sys.stderr)
    rows = [("File", "Problem"), *((f"{p.file}:{p.line}", p.message) for p in problems)]
    told = _table(rows) if problems else [_cell(redact_text(str(error)))]
    _append([f"### moorage ended with an error (exit code {error.exit_code})", "", *told])


def annotation(problem: Problem) -> str:
    """A Problem as a workflow command."""
    place = f"file={_property(problem.file)},line={problem.line},col={problem.column}"
    hint = f" ({problem.hint})" if problem.hint else ""
    return f"::error {place},title=moorage::{_data(problem.message + hint)}"


def summarise(statuses: Iterable[Status], steps: Mapping[str, int]) -> None:
    """Add how things stand to the step's summary, where there is one."""
    rows = [("Kind", "Name", "Ready", "Status", "Message")]
    for status in statuses:
        ready = status.condition("Ready")
        told = (ready.status, ready.reason, ready.message) if ready else ("Unknown", "", "")
        rows.append((status.owner.kind, status.owner.name, *told))
    done = (
        ", ".join(f"{count} {action}" for action, count in sorted(steps.items())) or "none: everything is as declared"
    )
    _append(["### moorage reconcile", "", *_table(rows), "", f"Steps: {done}."])


def _append(lines: Sequence[str]) -> None:
    path = os.environ.get("GITHUB_STEP_SUMMARY")
    if path:
        with Path(path).open("a", encoding="utf-8") as file:
            file.write("\n".join(lines) + "\n")


def _table(rows: Sequence[Sequence[str]]) -> list[str]:
    head, *body = (f"| {' | '.join(map(_cell, row))} |" for row in rows)
    return [head, f"|{'---|' * len(rows[0])}", *body]


def _cell(text: str) -> str:
    """Text that stays in its cell, and is no HTML: who writes a spec mustn't write the summary."""
    escaped = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace("|", "\\|")
    return " ".join(escaped.replace("`", "'").split())


def _data(text: str) -> str:
    """Escape a message: it mustn't begin another command on a line of its own."""
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
