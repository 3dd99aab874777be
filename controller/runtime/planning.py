"""Planning everything that a source declares, and holding a run to a plan that was made before.

    plan --out FILE ──▶ file ──▶ reconcile --plan FILE: the same plan now? ──▶ passes, each step held against the file

A file that can't be used, or is for another place, is a UsageError; a plan that is no longer what would be done, because
specs, data or AWS changed, is a NotPlannedError. Nothing is applied in either case.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from pydantic import ValidationError

from controller.core.plan import Plan
from controller.core.values import Key
from controller.cost.estimate import CostEstimate
from controller.errors import NotPlannedError, UsageError
from controller.runtime.compose import House
from controller.runtime.covering import uncovered
from controller.runtime.plan_document import MADE_BY, PlanDocument, PlannedEnvironment, PlannedStep, document, planned
from controller.runtime.prepare import Snapshot
from controller.spec.strict import API_VERSION

_AGAIN = "make it again: moorage plan --out"
# More than a plan of a thousand models has, in bytes.
_LARGEST = 256 * 2**20


def plan_all(house: House, snapshot: Snapshot, *, prune: bool = False) -> PlanDocument:
    """Look at every environment, and plan it; `prune` includes what no spec declares any more.

    Reads only. Raises what reading AWS raises: a plan with holes would be no plan.
    """
    parts, costs = [], dict[Key, CostEstimate]()
    for name in snapshot.environments:
        site = house.site(snapshot, name)
        found = site.reconciler.survey(site.wants, removed_specs=site.gone() if prune else ())
        for error in found.unreadable.values():
            raise error
        parts.append((site.wants, found.plan))
        costs |= found.costs
    return document(parts, costs=costs, commit=snapshot.commit, prune=prune)


def write_plan(path: Path, made: PlanDocument) -> None:
    """Keep a plan in a file. Raises UsageError."""
    try:
        path.write_text(made.text(), encoding="utf-8")
    except OSError as error:
        raise UsageError("the plan can't be written", where=str(path), why=error.strerror or "") from error


def read_plan(path: Path) -> PlanDocument:
    """The plan in a file, as it was written. Raises UsageError."""
    try:
        with path.open("rb") as file:
            content = file.read(_LARGEST + 1)
        if len(content) > _LARGEST:
            raise UsageError("this is too large for a plan", where=str(path))
        found = PlanDocument.model_validate_json(content)
    except OSError as error:
        raise UsageError("the plan can't be read", where=str(path), why=error.strerror or "") from error
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        at = ".".join(map(str, first["loc"]))
        what = f"this is no plan of version {API_VERSION}, or not all of one"
        raise UsageError(
            what, where=str(path), why=f"{at}: {first['msg']}" if at else first["msg"], hint=_AGAIN
        ) from None
    if found.digest != found.checksum:
        raise UsageError("the plan was changed after it was made", where=str(path), hint=_AGAIN)
    if found.made_by != MADE_BY:
        raise UsageError(f"the plan was made by {found.made_by}, and this is {MADE_BY}", where=str(path), hint=_AGAIN)
    return found


class Promise:
    """A plan that is carried out, and nothing but it."""

    def __init__(self, made: PlanDocument) -> None:
        self._made = made

    @property
    def prune(self) -> bool:
        """Whether the plan covers what no spec declares any more."""
        return self._made.prune

    def hold(self, now: PlanDocument) -> None:
        """Compare with what would be done now. Raises UsageError for another place, NotPlannedError for anything else that differs."""
        places = [[(one.name, one.account, one.region) for one in plan.environments] for plan in (self._made, now)]
        if places[0] != places[1]:
            then, here = (", ".join(f"{name} in {account} {region}" for name, account, region in p) for p in places)
            raise UsageError("the plan is for another place", why=f"it is for {then}; this is {here}", hint=_AGAIN)
        for before, after in zip(self._made.environments, now.environments, strict=True):
            differing = list(_differing(before, after))
            if differing:
                why = f"{', '.join(differing)} differ{'s' if len(differing) == 1 else ''}"
                raise NotPlannedError("the specs or their data aren't those of the plan", why=why, hint=_AGAIN)
        if [one.digest for one in self._made.environments] != [one.digest for one in now.environments]:
            why = "; ".join(_differences(self._made, now))
            raise NotPlannedError("what would be done now isn't what was planned", why=why, hint=_AGAIN)

    def allow(self, plan: Plan) -> Plan:
        """What a pass may do of its plan: all of it, but for history that only now went out of reach; the next run collects that.

        Raises NotPlannedError, naming what was not planned.
        """
        collected = [
            step for step in plan.steps if step.collects_history and uncovered(self._made.steps, [planned(step)])
        ]
        plan = replace(plan, steps=tuple(step for step in plan.steps if step not in collected))
        steps = [planned(step) for step in plan.steps if not step.later and not step.held]
        missing = uncovered(self._made.steps, steps)
        if missing:
            raise NotPlannedError(
                "this was not planned, and nothing more is applied", why="; ".join(missing), hint=_AGAIN
            )
        return plan


def _differing(before: PlannedEnvironment, after: PlannedEnvironment) -> Iterator[str]:
    for name in sorted(before.specs.keys() | after.specs.keys()):
        if before.specs.get(name) != after.specs.get(name):
            yield name


def _differences(before: PlanDocument, after: PlanDocument) -> Iterator[str]:
    """What only one of two plans has, object by object; or that they differ in what is not shown."""
    then, now = ({_line(step): step for step in plan.steps} for plan in (before, after))
    gone, new = (
        [step for line, step in then.items() if line not in now],
        [s for line, s in now.items() if line not in then],
    )
    yield from (f"planned, and not needed now: {_told(step)}" for step in gone)
    yield from (f"needed now, and not planned: {_told(step)}" for step in new)
    refused = {refusal.object for refusal in before.refusals} ^ {refusal.object for refusal in after.refusals}
    yield from (f"refused in one of the two: {name}" for name in sorted(refused))
    if not (gone or new or refused):
        yield "values that are not shown, as secrets, changed; or only the order did"


def _line(step: PlannedStep) -> str:
    return step.model_dump_json()


def _told(step: PlannedStep) -> str:
    paths = ", ".join(change.path for change in step.changes) if step.action == "update" else ""
    return f"{step.action} {step.object}{f' ({paths})' if paths else ''}{' later' if step.later else ''}"
