"""Write annotations at the lines of spec files, and the step's summary, in GitHub Actions.

Formats: https://docs.github.com/actions/reference/workflow-commands-for-github-actions
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

from controller.cli.output.markdown import ReportBlock, code_span, escape_prose, table_head, table_row
from controller.core.status import Status
from controller.errors import MoorageError, Problem, SpecError

# https://docs.github.com/actions/reference/workflow-commands-for-github-actions#step-isolation-and-limits
_SUMMARY_LIMIT = 1024 * 1024  # bytes


def annotate(error: MoorageError) -> None:
    """Write an error as workflow commands, each Problem at its line, and to the summary; only in GitHub Actions."""
    if os.environ.get("GITHUB_ACTIONS") != "true":
        return
    from controller.aws.log import redact_text

    problems = error.problems if isinstance(error, SpecError) else ()
    lines = [annotation(problem) for problem in problems] or [f"::error title=moorage::{_data(str(error))}"]
    # stdout is data, and the runner also reads commands from stderr.
    print(redact_text("\n".join(lines)), file=sys.stderr)
    rows = [table_row([code_span(f"{p.file}:{p.line}"), escape_prose(redact_text(p.message))]) for p in problems]
    details = [*table_head(("File", "Problem")), *rows] if rows else [escape_prose(redact_text(str(error)))]
    append_summary("\n".join([f"### moorage failed (exit code {error.exit_code})", "", *details]))


def annotation(problem: Problem) -> str:
    """Return a Problem as a workflow command."""
    place = f"file={_property(problem.file)},line={problem.line},col={problem.column}"
    hint = f" ({problem.hint})" if problem.hint else ""
    return f"::error {place},title=moorage::{_data(problem.message + hint)}"


def write_summary(statuses: Iterable[Status], steps: Mapping[str, int]) -> None:
    """Append the statuses and the executed steps to the step's summary, if there is one."""
    rows = []
    for status in statuses:
        ready = status.find_condition("Ready")
        state = (ready.status, ready.reason, ready.message) if ready else ("Unknown", "", "")
        rows.append(table_row(map(escape_prose, (status.owner.kind, status.owner.name, *state))))
    done = (
        ", ".join(f"{count} {action}" for action, count in sorted(steps.items())) or "none: everything is as declared"
    )
    table = ReportBlock([*table_head(("Kind", "Name", "Ready", "Status", "Message"))], rows, ["", f"Steps: {done}."])
    table.take(remaining_bytes(), size_in_bytes)
    append_summary("\n".join(["### moorage reconcile", "", *table.lines()]))


def remaining_bytes() -> int:
    """Return how many bytes the step's summary has left, 0 without a summary: GitHub shows none above 1 MiB."""
    path = os.environ.get("GITHUB_STEP_SUMMARY")
    if not path:
        return 0
    return _SUMMARY_LIMIT - (Path(path).stat().st_size if Path(path).is_file() else 0)


def size_in_bytes(text: str) -> int:
    """Return the length of a text in bytes, as GitHub counts it for a summary."""
    return len(text.encode())


def append_summary(text: str) -> None:
    """Append Markdown to the step's summary, if there is one."""
    path = os.environ.get("GITHUB_STEP_SUMMARY")
    if path:
        with Path(path).open("a", encoding="utf-8") as file:
            file.write(text.rstrip("\n") + "\n")


def _data(text: str) -> str:
    """Escape a message, so that none of its lines can start another command."""
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
