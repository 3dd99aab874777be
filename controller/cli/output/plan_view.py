"""Render a plan for a terminal of any width. Pure: a document in, `Text` out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from textwrap import wrap

from rich.text import Text

from controller.cli.output import cost_view
from controller.cli.output.value_format import format_change, format_lines, format_tail, format_value
from controller.core.ownership import TAG_PREFIX
from controller.planning.plan_cost import PlannedCost
from controller.planning.plan_document import (
    NOT_KNOWN,
    NOT_THERE,
    PlanDocument,
    PlannedField,
    PlannedRefusal,
    PlannedStep,
)

SIGNS = {
    "create": ("+", "green"),
    "update": ("~", "yellow"),
    "revise": ("~", "yellow"),
    "replace": ("±", "magenta"),
    "adopt": ("=", "cyan"),
    "delete": ("-", "red"),
}
_MEANING = {
    "revise": "a new one beside the old one",
    "replace": "can't be changed in place: the new one is created first, then the old one is deleted",
    "adopt": "exists already and is taken over",
}
HELD = {
    "Suspended": "held, because policy.suspend is true",
    "Drifted": "held, because policy.driftCorrection is false",
    "OverBudget": "held, because a month would cost more than policy.maxMonthlyCost",
}
LATER = "later, once the steps above have finished"
_FORCES = "forces a new one"
# Maximum width of a line if stdout isn't a terminal.
WIDTH = 120
# Fewer characters of an old value would be meaningless.
_TAIL = 16


def plan_text(plan: PlanDocument, width: int = WIDTH, *, whole: bool = False) -> Text:
    """Render the plan by spec: refusals, the steps of now field by field, later steps, held steps, costs.

    Lines are at most `width` characters wide, except for long names and paths. `whole` truncates no value.
    """
    if not plan.steps and not plan.refusals:
        return Text("No changes: everything is as declared.")
    lines = [line for part in group_by_spec(plan) for line in _SpecRenderer(part, width, whole=whole).lines()]
    ending = [line for sentence, style in plan_summary(plan) for line in _wrapped(sentence, width, style=style)]
    return Text("\n").join([*lines, Text(), *ending])


class SpecPlan:
    """The part of a plan that concerns one spec. `costs` is empty if no estimate was made."""

    def __init__(
        self,
        title: str,
        steps: Sequence[PlannedStep],
        refusals: Sequence[PlannedRefusal],
        costs: Sequence[PlannedCost],
    ) -> None:
        self.title, self.steps, self.refusals, self.costs = title, steps, refusals, costs

    def groups(self) -> Iterator[tuple[str, Sequence[PlannedStep]]]:
        """Yield headings with their steps, most important first: now (no heading), later, held."""
        free = [step for step in self.steps if not step.held]
        groups = [("", [step for step in free if not step.later]), (LATER, [step for step in free if step.later])]
        groups += [(why, [step for step in self.steps if step.held == held]) for held, why in HELD.items()]
        yield from ((heading, some) for heading, some in groups if some)


def group_by_spec(plan: PlanDocument) -> list[SpecPlan]:
    """Split the plan by spec, ordered by environment; each Environment comes first, as the other specs depend on it."""
    several = len(plan.environments) > 1
    found = dict.fromkeys((one.environment, one.spec) for one in (*plan.steps, *plan.refusals))
    order = sorted(found, key=lambda owner: (owner[0], not owner[1].startswith("Environment "), owner[1]))
    return [
        SpecPlan(
            f"{spec} of {environment}" if several and not spec.startswith("Environment ") else spec,
            [step for step in plan.steps if (step.environment, step.spec) == (environment, spec)],
            [refusal for refusal in plan.refusals if (refusal.environment, refusal.spec) == (environment, spec)],
            [cost for cost in plan.costs if (cost.environment, cost.spec) == (environment, spec)],
        )
        for environment, spec in order
    ]


def displayed_changes(step: PlannedStep) -> list[PlannedField]:
    """Return the changes without ownership tags, which every object gets, and without empty fields of new objects."""

    def is_noise(change: PlannedField) -> bool:
        return change.old == NOT_THERE and (change.new in (None, "", [], {}) or _is_adoption_tag(step, change))

    return [change for change in map(_without_ownership, step.changes) if not is_noise(change)]


def step_meaning(step: PlannedStep) -> str:
    """Describe what a step does beyond its action and object; empty if there is nothing to add."""
    tags_only = "only its tags change" if step.only_adopts else ""
    return "; ".join(part for part in (_MEANING.get(step.action, ""), tags_only, step.why) if part)


def plan_summary(plan: PlanDocument) -> Iterator[tuple[str, str]]:
    """Yield sentences with their styles: the counts of steps now, later, held and refused, and the models to train."""
    unchanged = "nothing changes; " if plan.summary.now and not plan.summary.changes else ""
    yield f"Plan: {unchanged}{format_counts(plan.summary.now) or 'nothing now'}.", "bold"
    for title, counts in (("Later", plan.summary.later), ("Held", plan.summary.held)):
        if counts:
            yield f"{title}: {format_counts(counts)}.", ""
    if plan.summary.refused:
        yield f"Refused: {plan.summary.refused}. Steps that depend on a refused object don't run either.", "red"
    if plan.trains:
        yield f"Trains {join_names(plan.trains)}.", "yellow"


def format_counts(counts: Mapping[str, int]) -> str:
    """Format counts by action: `2 to create, 1 to update`."""
    return ", ".join(f"{number} to {action}" for action, number in counts.items())


def join_names(names: Iterable[str]) -> str:
    """Join names: `a, b and c`."""
    *most, last = names
    return f"{', '.join(most)} and {last}" if most else last


def _is_adoption_tag(step: PlannedStep, change: PlannedField) -> bool:
    """Return whether a change only adds Moorage's ownership tag to an adopted object."""
    return step.action == "adopt" and change.path.startswith(f"tags.{TAG_PREFIX}")


def _without_ownership(change: PlannedField) -> PlannedField:
    if change.path != "tags" or not isinstance(change.new, Mapping):
        return change
    tags = {name: value for name, value in change.new.items() if not name.startswith(TAG_PREFIX)}
    return change.model_copy(update={"new": tags})


def _wrapped(text: str, width: int, indent: str = "", style: str = "") -> Iterator[Text]:
    lines = wrap(text, max(width, 20), initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False)
    return (Text(line, style) for line in lines)


class _SpecRenderer:
    """Renders the lines of one spec."""

    def __init__(self, part: SpecPlan, width: int, *, whole: bool) -> None:
        self._part, self._width, self._whole = part, width, whole

    def lines(self) -> Iterator[Text]:
        yield Text(f"\n{self._part.title}", "bold")
        for refusal in self._part.refusals:
            head = Text.assemble(("  ! refused ", "red"), refusal.object)
            yield from self._with(head, refusal.message)
            yield from self._under(refusal.hint)
        for heading, steps in self._part.groups():
            if heading:
                yield from _wrapped(f"{heading}:", self._width, "  ", "dim")
            for step in steps:
                yield from self._step(step)
        for cost in self._part.costs:
            yield from cost_view.cost_lines(cost, self._width)

    def _step(self, step: PlannedStep) -> Iterator[Text]:
        sign, style = SIGNS[step.action]
        head = Text.assemble((f"  {sign} {step.action} ", "dim" if step.held else style), step.object)
        yield from self._with(head, step_meaning(step))
        changes = displayed_changes(step)
        # One long path must not push all values to the right.
        widest = max((len(one.path) for one in changes if len(one.path) <= self._width // 3), default=0)
        for change in changes:
            yield from self._field(change, widest, _FORCES if change.path in step.forces else "")

    def _with(self, head: Text, note: str) -> Iterator[Text]:
        """Yield a line with a note beside it, or below it if the line is too short."""
        if not note or len(head) + 3 + len(note) <= self._width:
            yield head.append(f"   {note}", "dim") if note else head
        else:
            yield head
            yield from self._under(note)

    def _under(self, note: str) -> Iterator[Text]:
        yield from _wrapped(note, self._width, "      ", "dim")

    def _field(self, change: PlannedField, widest: int, mark: str) -> Iterator[Text]:
        room = None if self._whole else max(self._width - 10, 20)
        line = Text(f"      {change.path.ljust(widest)}  ")
        ending = f"   {mark}" if mark else ""
        line.append_text(self._on_one_line(change, self._width - len(line) - len(ending)))
        line.append(ending, "magenta")
        if len(line) <= self._width or self._whole:
            yield line
            return
        yield Text(f"      {change.path}").append(ending, "magenta")
        if change.old == NOT_THERE:
            yield from (Text("        ").append_text(one) for one in format_lines(change.new, room))
        else:
            for sign, value in format_change(change.old, change.new, room):
                yield Text(f"        {sign} ", "red" if sign == "-" else "green").append_text(value)

    def _on_one_line(self, change: PlannedField, room: int) -> Text:
        new = format_value(change.new)
        if change.old == NOT_THERE:
            return new
        left = room - len(new) - 3
        # Truncate the old value if the new one is unknown: there is nothing to compare it with.
        cut = change.new == NOT_KNOWN and left >= _TAIL and not self._whole
        return (format_tail(change.old, left) if cut else format_value(change.old)).append(" → ").append_text(new)
