"""A plan as people read it, and as JSON. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from rich.text import Text

from controller.core.diff import Change
from controller.core.ownership import PREFIX as TAG_PREFIX
from controller.core.plan import Action, Plan, Refusal, Step
from controller.core.values import ABSENT, UNKNOWN, Blob, Key, Value, plain

_SIGNS = {
    Action.CREATE: ("+", "green"),
    Action.UPDATE: ("~", "yellow"),
    Action.REVISE: ("~", "yellow"),
    Action.REPLACE: ("±", "magenta"),
    Action.ADOPT: ("=", "cyan"),
    Action.DELETE: ("-", "red"),
}
_MEANING = {
    Action.REVISE: "a new one beside the old one",
    Action.REPLACE: "can't be changed in place: the new one is made first, then the old one goes",
    Action.ADOPT: "exists already and is taken over",
}
_TRAINS = "sagemaker/training-job"
_WIDEST = 100


def text(plan: Plan) -> Text:
    """Group the steps by spec: what happens now field by field, then what follows from it later."""
    if not plan.steps and not plan.refusals:
        return Text("No changes: everything is as declared.")
    parts = [part for owner in _owners(plan) for part in _spec(owner, plan.of(owner))]
    return Text("\n").join([*parts, Text(), _summary(plan)])


def data(plan: Plan) -> dict[str, Any]:
    """Give the plan as JSON; what only an apply will tell is the text `(known after apply)`."""
    return {
        "steps": [_step_data(step) for step in plan.steps],
        "refusals": [
            {
                **_key_data(refusal.node.key),
                "spec": spec(refusal.owner),
                "message": refusal.message,
                "hint": refusal.hint,
            }
            for refusal in plan.refusals
        ],
        "summary": counts(plan),
        "trains": trains(plan),
        "digest": plan.digest,
    }


def counts(plan: Plan) -> dict[str, int]:
    """Count the steps by action, in the order of `Action`."""
    actions = [step.action for step in plan.steps]
    return {action.value: actions.count(action) for action in Action if action in actions}


def trains(plan: Plan) -> list[str]:
    """Name the specs for which the plan trains a model."""
    jobs = (step for step in plan.steps if step.node.key.kind == _TRAINS and step.action is not Action.DELETE)
    return list(dict.fromkeys(step.owner.name for step in jobs))


def spec(owner: Key) -> str:
    """`ModelService housing-model`."""
    return f"{owner.kind} {owner.name}"


def _owners(plan: Plan) -> list[Key]:
    found = [*(step.owner for step in plan.steps), *(refusal.owner for refusal in plan.refusals)]
    # The Environment first: the others stand on it.
    return sorted(dict.fromkeys(found), key=lambda owner: (owner.environment, owner.kind != "Environment", owner.name))


def _spec(owner: Key, plan: Plan) -> Iterator[Text]:
    yield Text(f"\n{spec(owner)}", "bold")
    for refusal in plan.refusals:
        yield from _refusal(refusal)
    for step in (step for step in plan.steps if not step.later):
        yield from _step(step)
    later = [step for step in plan.steps if step.later]
    if later:
        yield Text("  later, as it follows from the steps above:", "dim")
        for step in later:
            yield from _step(step)


def _refusal(refusal: Refusal) -> Iterator[Text]:
    yield Text.assemble(("  ! ", "red"), f"{refusal.node.key}: {refusal.message} ({refusal.hint})")


def _step(step: Step) -> Iterator[Text]:
    sign, style = _SIGNS[step.action]
    meaning = "; ".join(part for part in (_MEANING.get(step.action, ""), step.why) if part)
    head = Text.assemble((f"  {sign} {step.action} ", style), str(step.node.key))
    yield head.append(f"   {meaning}", "dim") if meaning else head
    changes = [change for change in map(_without_ownership, step.changes) if not _says_nothing(change)]
    width = max((len(change.path) for change in changes), default=0)
    for change in changes:
        shown = _value(change.new) if change.old is ABSENT else f"{_value(change.old)} → {_value(change.new)}"
        yield Text(f"      {change.path.ljust(width)}  {shown}")


def _without_ownership(change: Change) -> Change:
    """Leave out the tags that everything of a spec has."""
    if change.path != "tags" or not isinstance(change.new, Mapping):
        return change
    tags = {name: value for name, value in change.new.items() if not name.startswith(TAG_PREFIX)}
    return Change(change.path, change.old, tags)


def _says_nothing(change: Change) -> bool:
    """Whether an empty field of something new isn't worth a line."""
    return change.old is ABSENT and change.new in (None, "", [], {})


def _value(value: Value) -> str:
    if value is UNKNOWN or value is ABSENT:
        return str(value.value)
    if isinstance(value, Blob):
        return f"sha256:{value.sha256[:12]} ({value.size:,} bytes)"
    shown = json.dumps(plain(value), ensure_ascii=False)
    return shown if len(shown) <= _WIDEST else f"{shown[: _WIDEST - 1]}…"


def _summary(plan: Plan) -> Text:
    line = Text("Plan: ").append(
        ", ".join(f"{number} to {action}" for action, number in counts(plan).items()) or "no steps"
    )
    if plan.refusals:
        line.append(f", {len(plan.refusals)} refused", "red")
    later = sum(step.later for step in plan.steps)
    if later:
        line.append(f" ({later} of them later)")
    line.append(".")
    names = trains(plan)
    return line.append(f" Trains {_listed(names)}.", "yellow") if names else line


def _listed(names: Iterable[str]) -> str:
    *most, last = names
    return f"{', '.join(most)} and {last}" if most else last


def _step_data(step: Step) -> dict[str, Any]:
    return {
        "action": step.action.value,
        **_key_data(step.node.key),
        "spec": spec(step.owner),
        "changes": [{"path": c.path, "old": plain(c.old), "new": plain(c.new)} for c in step.changes],
        "why": step.why,
        "later": step.later,
    }


def _key_data(key: Key) -> dict[str, str]:
    return {"environment": key.environment, "resource": key.kind, "name": key.name}
