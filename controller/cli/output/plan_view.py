"""A plan as people read it in a terminal of any width. Pure: a document in, `Text` out."""

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
    "replace": "can't be changed in place: the new one is made first, then the old one goes",
    "adopt": "exists already and is taken over",
}
HELD = {
    "Suspended": "held, as policy.suspend leaves everything as it is",
    "Drifted": "held, as policy.driftCorrection leaves what others changed",
    "OverBudget": "held, as a month would cost more than policy.maxMonthlyCost",
}
LATER = "later, once what is begun above is through"
_FORCES = "forces a new one"
# What a line may have where nothing tells how wide the terminal is.
WIDTH = 120
# Less of an old value than this tells nothing.
_TAIL = 16


def plan_text(plan: PlanDocument, width: int = WIDTH, *, whole: bool = False) -> Text:
    """Group the steps by spec: what is refused, what happens now field by field, what follows later, what is held.

    No line is wider than `width` where that can be; `whole` cuts no value short.
    """
    if not plan.steps and not plan.refusals:
        return Text("No changes: everything is as declared.")
    lines = [line for part in group_by_spec(plan) for line in _SpecRenderer(part, width, whole=whole).lines()]
    ending = [line for told, style in plan_summary(plan) for line in _wrapped(told, width, style=style)]
    return Text("\n").join([*lines, Text(), *ending])


class SpecPlan:
    """What a plan has for one spec. `title` names it; `costs` has what it costs, if that is known."""

    def __init__(
        self,
        title: str,
        steps: Sequence[PlannedStep],
        refusals: Sequence[PlannedRefusal],
        costs: Sequence[PlannedCost],
    ) -> None:
        self.title, self.steps, self.refusals, self.costs = title, steps, refusals, costs

    def groups(self) -> Iterator[tuple[str, Sequence[PlannedStep]]]:
        """The steps in the order in which they matter: now (without a heading), later, held."""
        free = [step for step in self.steps if not step.held]
        groups = [("", [step for step in free if not step.later]), (LATER, [step for step in free if step.later])]
        groups += [(why, [step for step in self.steps if step.held == held]) for held, why in HELD.items()]
        yield from ((heading, some) for heading, some in groups if some)


def group_by_spec(plan: PlanDocument) -> list[SpecPlan]:
    """The plan spec by spec, in the order of environments; each Environment first, as the others stand on it."""
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
    """Leave out the tags that everything of a spec has, what adopting means anyway, and empty fields of something new."""
    told = map(_without_ownership, step.changes)
    return [one for one in told if not (one.old == NOT_THERE and (one.new in (None, "", [], {}) or _adopts(step, one)))]


def step_meaning(step: PlannedStep) -> str:
    """What a step means beyond its object, in words."""
    alone = "by its tags alone" if step.only_adopts else ""
    return "; ".join(part for part in (_MEANING.get(step.action, ""), alone, step.why) if part)


def plan_summary(plan: PlanDocument) -> Iterator[tuple[str, str]]:
    """Count what happens now, later and not at all, and say what is trained: sentences, with their styles."""
    unchanged = "nothing changes; " if plan.summary.now and not plan.summary.changes else ""
    yield f"Plan: {unchanged}{format_counts(plan.summary.now) or 'nothing now'}.", "bold"
    for title, counts in (("Later", plan.summary.later), ("Held", plan.summary.held)):
        if counts:
            yield f"{title}: {format_counts(counts)}.", ""
    if plan.summary.refused:
        yield f"Refused: {plan.summary.refused}. Nothing that is built on it is made either.", "red"
    if plan.trains:
        yield f"Trains {join_names(plan.trains)}.", "yellow"


def format_counts(counts: Mapping[str, int]) -> str:
    """`2 to create, 1 to update`."""
    return ", ".join(f"{number} to {action}" for action, number in counts.items())


def join_names(names: Iterable[str]) -> str:
    """`a, b and c`."""
    *most, last = names
    return f"{', '.join(most)} and {last}" if most else last


def _adopts(step: PlannedStep, change: PlannedField) -> bool:
    """Whether a change is a mark of ours on what is taken over."""
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
    """The lines of one spec."""

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
        # One long path doesn't push all values to the right.
        widest = max((len(one.path) for one in changes if len(one.path) <= self._width // 3), default=0)
        for change in changes:
            yield from self._field(change, widest, _FORCES if change.path in step.forces else "")

    def _with(self, head: Text, told: str) -> Iterator[Text]:
        """A line and what it means: beside it where there is room, else below."""
        if not told or len(head) + 3 + len(told) <= self._width:
            yield head.append(f"   {told}", "dim") if told else head
        else:
            yield head
            yield from self._under(told)

    def _under(self, told: str) -> Iterator[Text]:
        yield from _wrapped(told, self._width, "      ", "dim")

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
        # Nobody compares the old value with one that isn't known yet.
        cut = change.new == NOT_KNOWN and left >= _TAIL and not self._whole
        return (format_tail(change.old, left) if cut else format_value(change.old)).append(" → ").append_text(new)
