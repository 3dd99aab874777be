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
from controller.environments.factory import EnvironmentFactory
from controller.errors import NotPlannedError, UsageError
from controller.planning.plan_coverage import find_uncovered
from controller.planning.plan_document import (
    MADE_BY,
    PlanDocument,
    PlannedEnvironment,
    PlannedStep,
    build_document,
    build_step,
)
from controller.sources.snapshots import Snapshot
from controller.spec.strict import API_VERSION

_REPLAN_HINT = "make it again: moorage plan --out"
# More than a plan of a thousand models has, in bytes.
_MAX_PLAN_BYTES = 256 * 2**20


def plan_environments(factory: EnvironmentFactory, snapshot: Snapshot, *, prune: bool = False) -> PlanDocument:
    """Look at every environment, and plan it; `prune` includes what no spec declares any more.

    Reads only. Raises what reading AWS raises: a plan with holes would be no plan.
    """
    parts, costs = [], dict[Key, CostEstimate]()
    for name in snapshot.environments:
        site = factory.open_environment(snapshot, name)
        found = site.reconciler.survey(site.contexts, removed_specs=site.find_removed_specs() if prune else ())
        for error in found.unreadable.values():
            raise error
        parts.append((site.contexts, found.plan))
        costs |= found.costs
    return build_document(parts, costs=costs, commit=snapshot.commit, prune=prune)


def write_saved_plan(path: Path, document: PlanDocument) -> None:
    """Keep a plan in a file. Raises UsageError."""
    try:
        path.write_text(document.text(), encoding="utf-8")
    except OSError as error:
        raise UsageError("the plan can't be written", where=str(path), why=error.strerror or "") from error


def read_saved_plan(path: Path) -> PlanDocument:
    """The plan in a file, as it was written. Raises UsageError."""
    try:
        with path.open("rb") as file:
            content = file.read(_MAX_PLAN_BYTES + 1)
        if len(content) > _MAX_PLAN_BYTES:
            raise UsageError("this is too large for a plan", where=str(path))
        found = PlanDocument.model_validate_json(content)
    except OSError as error:
        raise UsageError("the plan can't be read", where=str(path), why=error.strerror or "") from error
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        at = ".".join(map(str, first["loc"]))
        what = f"this is no plan of version {API_VERSION}, or not all of one"
        raise UsageError(
            what, where=str(path), why=f"{at}: {first['msg']}" if at else first["msg"], hint=_REPLAN_HINT
        ) from None
    if found.digest != found.checksum:
        raise UsageError("the plan was changed after it was made", where=str(path), hint=_REPLAN_HINT)
    if found.made_by != MADE_BY:
        raise UsageError(
            f"the plan was made by {found.made_by}, and this is {MADE_BY}", where=str(path), hint=_REPLAN_HINT
        )
    return found


class SavedPlan:
    """A plan that is carried out, and nothing but it."""

    def __init__(self, document: PlanDocument) -> None:
        self._made = document

    @property
    def prune(self) -> bool:
        """Whether the plan covers what no spec declares any more."""
        return self._made.prune

    def verify_unchanged(self, current: PlanDocument) -> None:
        """Compare with what would be done now. Raises UsageError for another place, NotPlannedError for anything else that differs."""
        places = [[(one.name, one.account, one.region) for one in plan.environments] for plan in (self._made, current)]
        if places[0] != places[1]:
            then, here = (", ".join(f"{name} in {account} {region}" for name, account, region in p) for p in places)
            raise UsageError(
                "the plan is for another place", why=f"it is for {then}; this is {here}", hint=_REPLAN_HINT
            )
        for before, after in zip(self._made.environments, current.environments, strict=True):
            differing = list(_changed_inputs(before, after))
            if differing:
                why = f"{', '.join(differing)} differ{'s' if len(differing) == 1 else ''}"
                raise NotPlannedError("the specs or their data aren't those of the plan", why=why, hint=_REPLAN_HINT)
        if [one.digest for one in self._made.environments] != [one.digest for one in current.environments]:
            why = "; ".join(_plan_differences(self._made, current))
            raise NotPlannedError("what would be done now isn't what was planned", why=why, hint=_REPLAN_HINT)

    def restrict(self, plan: Plan) -> Plan:
        """What a pass may do of its plan: all of it, but for history that only now went out of reach; the next run collects that.

        Raises NotPlannedError, naming what was not planned.
        """
        collected = [
            step
            for step in plan.steps
            if step.collects_history and find_uncovered(self._made.steps, [build_step(step)])
        ]
        plan = replace(plan, steps=tuple(step for step in plan.steps if step not in collected))
        steps = [build_step(step) for step in plan.steps if not step.later and not step.held]
        missing = find_uncovered(self._made.steps, steps)
        if missing:
            raise NotPlannedError(
                "this was not planned, and nothing more is applied", why="; ".join(missing), hint=_REPLAN_HINT
            )
        return plan


def _changed_inputs(before: PlannedEnvironment, after: PlannedEnvironment) -> Iterator[str]:
    for name in sorted(before.specs.keys() | after.specs.keys()):
        if before.specs.get(name) != after.specs.get(name):
            yield name


def _plan_differences(before: PlanDocument, after: PlanDocument) -> Iterator[str]:
    """What only one of two plans has, object by object; or that they differ in what is not shown."""
    then, now = ({_describe_step(step): step for step in plan.steps} for plan in (before, after))
    gone, new = (
        [step for line, step in then.items() if line not in now],
        [s for line, s in now.items() if line not in then],
    )
    yield from (f"planned, and not needed now: {_describe_changes(step)}" for step in gone)
    yield from (f"needed now, and not planned: {_describe_changes(step)}" for step in new)
    refused = {refusal.object for refusal in before.refusals} ^ {refusal.object for refusal in after.refusals}
    yield from (f"refused in one of the two: {name}" for name in sorted(refused))
    if not (gone or new or refused):
        yield "values that are not shown, as secrets, changed; or only the order did"


def _describe_step(step: PlannedStep) -> str:
    return step.model_dump_json()


def _describe_changes(step: PlannedStep) -> str:
    paths = ", ".join(change.path for change in step.changes) if step.action == "update" else ""
    return f"{step.action} {step.object}{f' ({paths})' if paths else ''}{' later' if step.later else ''}"
