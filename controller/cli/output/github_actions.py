"""What a run in GitHub Actions adds: annotations at the lines of spec files, and the step's summary.

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
_SUMMARY = 1024 * 1024


def annotate(error: MoorageError) -> None:
    """Tell the workflow of an error, each Problem at its line; nothing elsewhere than in GitHub Actions."""
    if os.environ.get("GITHUB_ACTIONS") != "true":
        return
    from controller.aws.log import redact_text

    problems = error.problems if isinstance(error, SpecError) else ()
    lines = [annotation(problem) for problem in problems] or [f"::error title=moorage::{_data(str(error))}"]
    # stdout is data; the runner reads commands on stderr, too.
    print(redact_text("\n".join(lines)), file=sys.stderr)
    rows = [table_row([code_span(f"{p.file}:{p.line}"), escape_prose(redact_text(p.message))]) for p in problems]
    told = [*table_head(("File", "Problem")), *rows] if rows else [escape_prose(redact_text(str(error)))]
    append_summary("\n".join([f"### moorage ended with an error (exit code {error.exit_code})", "", *told]))


def annotation(problem: Problem) -> str:
    """A Problem as a workflow command."""
    place = f"file={_property(problem.file)},line={problem.line},col={problem.column}"
    hint = f" ({problem.hint})" if problem.hint else ""
    return f"::error {place},title=moorage::{_data(problem.message + hint)}"


def write_summary(statuses: Iterable[Status], steps: Mapping[str, int]) -> None:
    """Add how things stand to the step's summary, where there is one."""
    rows = []
    for status in statuses:
        ready = status.find_condition("Ready")
        told = (ready.status, ready.reason, ready.message) if ready else ("Unknown", "", "")
        rows.append(table_row(map(escape_prose, (status.owner.kind, status.owner.name, *told))))
    done = (
        ", ".join(f"{count} {action}" for action, count in sorted(steps.items())) or "none: everything is as declared"
    )
    table = ReportBlock([*table_head(("Kind", "Name", "Ready", "Status", "Message"))], rows, ["", f"Steps: {done}."])
    table.take(remaining_bytes(), size_in_bytes)
    append_summary("\n".join(["### moorage reconcile", "", *table.lines()]))


def remaining_bytes() -> int:
    """How many bytes the step's summary still takes, 0 where there is none: GitHub shows nothing of more than 1 MiB."""
    path = os.environ.get("GITHUB_STEP_SUMMARY")
    return _SUMMARY - (Path(path).stat().st_size if Path(path).is_file() else 0) if path else 0


def size_in_bytes(text: str) -> int:
    """The length of a text as GitHub counts a summary's."""
    return len(text.encode())


def append_summary(text: str) -> None:
    """Add Markdown to the step's summary, where there is one."""
    path = os.environ.get("GITHUB_STEP_SUMMARY")
    if path:
        with Path(path).open("a", encoding="utf-8") as file:
            file.write(text.rstrip("\n") + "\n")


def _data(text: str) -> str:
    """Escape a message: it mustn't begin another command on a line of its own."""
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
