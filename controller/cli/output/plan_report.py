"""Render a plan for a pull request: Markdown within a size limit that counts what it leaves out. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from controller.cli.output import cost_view
from controller.cli.output.markdown import ReportBlock, code_span, escape_prose, table_head, table_row
from controller.cli.output.plan_view import (
    HELD,
    SIGNS,
    SpecPlan,
    displayed_changes,
    format_counts,
    group_by_spec,
    join_names,
    step_meaning,
)
from controller.cli.output.value_format import plain_text
from controller.planning.plan_document import NOT_KNOWN, NOT_THERE, PlanDocument, PlannedField, PlannedStep

# Maximum characters of a comment. GitHub's API rejects more: "body is too long (maximum is 65536 characters)".
COMMENT_LIMIT = 65_536
# Longer values are truncated; `moorage plan` shows them in full.
_LONGEST = 400
_NOTE = 400  # room for the line that counts what was left out


def plan_report(plan: PlanDocument, limit: int = COMMENT_LIMIT, size: Callable[[str], int] = len) -> str:
    """Return a report of at most `limit` in `size`: a summary, then a table and folded fields for each spec."""
    title = ReportBlock([f"### moorage plan: {_title(plan)}", "", *_introduction(plan)])
    found = group_by_spec(plan)
    # The most important blocks take room first.
    kinds = [[make(part) for part in found] for make in (_heading, _refused, _steps, _fields)]
    room = title.take(limit - _NOTE, size)
    for blocks in kinds:
        for block in blocks:
            room = block.take(room, size)
    lines = list(title.lines())
    for of_one_spec in zip(*kinds, strict=True):
        lines += [line for block in of_one_spec for line in block.lines()]
    lines += _left_out([sum(block.omitted for block in blocks) for blocks in kinds[1:]], limit)
    return "\n".join(lines) + "\n"


def _title(plan: PlanDocument) -> str:
    counted = [format_counts(plan.summary.now)]
    counted += [
        f"{word}: {format_counts(counts)}"
        for word, counts in (("later", plan.summary.later), ("held", plan.summary.held))
        if counts
    ]
    counted += [f"refused: {plan.summary.refused}"] if plan.summary.refused else []
    return "; ".join(filter(None, counted)) or "no changes"


def _introduction(plan: PlanDocument) -> Iterator[str]:
    places = ", ".join(
        f"{code_span(one.name)} in {code_span(one.account)} {code_span(one.region)}" for one in plan.environments
    )
    commit = f" · commit {code_span(plan.commit[:47])}" if plan.commit else ""
    yield f"{places}{commit} · plan {code_span(plan.digest[:12])}"
    yield ""
    if plan.trains:
        yield f"**Trains {join_names([code_span(name) for name in plan.trains])}.**"
        yield ""


def _heading(part: SpecPlan) -> ReportBlock:
    costs = [line for cost in part.costs for line in (escape_prose(cost_view.cost_summary(cost)), "")]
    return ReportBlock([f"#### {escape_prose(part.title)}", "", *costs])


def _refused(part: SpecPlan) -> ReportBlock:
    rows = [
        table_row([code_span(one.object), escape_prose(one.message), escape_prose(one.hint)]) for one in part.refusals
    ]
    return ReportBlock(table_head(("Refused", "Why", "What to do")), rows, [""]) if rows else ReportBlock([])


def _steps(part: SpecPlan) -> ReportBlock:
    rows = [
        table_row(
            [
                escape_prose(SIGNS[step.action][0]),
                step.action,
                code_span(step.object),
                _when(step),
                _paths(step),
                escape_prose(step_meaning(step)),
            ]
        )
        for _, steps in part.groups()
        for step in steps
    ]
    return (
        ReportBlock(table_head(("", "Step", "Object", "When", "Fields", "Meaning")), rows, [""])
        if rows
        else ReportBlock([])
    )


def _fields(part: SpecPlan) -> ReportBlock:
    rows = [
        table_row([code_span(step.object), _path(step, change), _value(change.old), _value(change.new)])
        for _, steps in part.groups()
        for step in steps
        for change in displayed_changes(step)
    ]
    number = f"{len(rows):,} field{'s' if len(rows) > 1 else ''}"
    opening = ["<details>", f"<summary>{number}, old and new</summary>", ""]
    return (
        ReportBlock([*opening, *table_head(("Object", "Field", "Old", "New"))], rows, ["", "</details>", ""])
        if rows
        else ReportBlock([])
    )


def _when(step: PlannedStep) -> str:
    if step.held:
        return escape_prose(HELD[step.held].partition(",")[0])
    return "later" if step.later else "now"


def _paths(step: PlannedStep) -> str:
    paths = [_path(step, change) for change in displayed_changes(step)]
    more = f" and {len(paths) - 4} more" if len(paths) > 4 else ""
    return ", ".join(paths[:4]) + more if step.action not in ("create", "delete") else ""


def _path(step: PlannedStep, change: PlannedField) -> str:
    return code_span(change.path[:_LONGEST]) + (" **forces a new one**" if change.path in step.forces else "")


def _value(value: object) -> str:
    if value in (NOT_KNOWN, NOT_THERE):
        return f"*{value}*" if value == NOT_KNOWN else ""
    text = plain_text(value)
    return code_span(text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…")


def _left_out(missing: Iterable[int], limit: int) -> list[str]:
    words = ("refusals", "steps", "fields")
    omitted = [f"{number:,} {word}" for number, word in zip(missing, words, strict=True) if number]
    if not omitted:
        return []
    return [f"**{join_names(omitted)} are left out: the limit is {limit:,} characters.** `moorage plan` shows all."]
