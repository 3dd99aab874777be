"""Plan every environment of a source, and restrict a run to a saved plan.

    plan --out FILE ──▶ file ──▶ reconcile --plan FILE: the same plan now? ──▶ passes, each step compared with the file

A file that is unusable, or is for another account or region, raises UsageError. A plan that specs, data or AWS have
outdated raises NotPlannedError. Nothing is applied in either case.
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
# Bytes; a plan of a thousand models is smaller.
_MAX_PLAN_BYTES = 256 * 2**20


def plan_environments(factory: EnvironmentFactory, snapshot: Snapshot, *, prune: bool = False) -> PlanDocument:
    """Observe and plan every environment; `prune` includes the specs that no file declares any more.

    Only reads. Raises every error of reading AWS, because a partial plan would be misleading.
    """
    parts, costs = [], dict[Key, CostEstimate]()
    for name in snapshot.environments:
        opened = factory.open_environment(snapshot, name)
        survey = opened.reconciler.survey(opened.contexts, removed_specs=opened.find_removed_specs() if prune else ())
        for error in survey.unreadable.values():
            raise error
        parts.append((opened.contexts, survey.plan))
        costs |= survey.costs
    return build_document(parts, costs=costs, commit=snapshot.commit, prune=prune)


def write_saved_plan(path: Path, document: PlanDocument) -> None:
    """Write a plan to a file. Raises UsageError when the file can't be written."""
    try:
        path.write_text(document.text(), encoding="utf-8")
    except OSError as error:
        raise UsageError("the plan can't be written", where=str(path), why=error.strerror or "") from error


def read_saved_plan(path: Path) -> PlanDocument:
    """Read a plan from a file, exactly as `write_saved_plan` wrote it.

    Raises UsageError when the file can't be read, was edited or truncated, or comes from another version of Moorage.
    """
    try:
        with path.open("rb") as file:
            content = file.read(_MAX_PLAN_BYTES + 1)
        if len(content) > _MAX_PLAN_BYTES:
            raise UsageError(
                "the file is too large for a plan",
                where=str(path),
                why=f"it has more than {_MAX_PLAN_BYTES // 2**20} MiB",
                hint=_REPLAN_HINT,
            )
        found = PlanDocument.model_validate_json(content)
    except OSError as error:
        raise UsageError("the plan can't be read", where=str(path), why=error.strerror or "") from error
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        at = ".".join(map(str, first["loc"]))
        what = f"the file isn't a complete plan of version {API_VERSION}"
        raise UsageError(
            what, where=str(path), why=f"{at}: {first['msg']}" if at else first["msg"], hint=_REPLAN_HINT
        ) from None
    if found.digest != found.checksum:
        raise UsageError("the plan was changed after it was made", where=str(path), hint=_REPLAN_HINT)
    if found.made_by != MADE_BY:
        raise UsageError(
            f"the plan was made by {found.made_by}, but this is {MADE_BY}", where=str(path), hint=_REPLAN_HINT
        )
    return found


class SavedPlan:
    """A saved plan, which restricts a run to its steps."""

    def __init__(self, document: PlanDocument) -> None:
        self._document = document

    @property
    def prune(self) -> bool:
        """Whether the plan includes the specs that no file declares any more."""
        return self._document.prune

    def verify_unchanged(self, current: PlanDocument) -> None:
        """Compare the saved plan with the current one.

        Raises UsageError if environments, accounts or regions differ, NotPlannedError if specs, data or steps do.
        """
        planned, present = _locations(self._document), _locations(current)
        if planned != present:
            raise UsageError(
                "the plan is for other environments, accounts or regions",
                why=f"it is for {_format_locations(planned)}; this is {_format_locations(present)}",
                hint=_REPLAN_HINT,
            )
        for before, after in zip(self._document.environments, current.environments, strict=True):
            differing = list(_changed_inputs(before, after))
            if differing:
                why = f"{', '.join(differing)} differ{'s' if len(differing) == 1 else ''}"
                raise NotPlannedError(
                    "the specs or their data changed since the plan was made", why=why, hint=_REPLAN_HINT
                )
        if [one.digest for one in self._document.environments] != [one.digest for one in current.environments]:
            why = "; ".join(_plan_differences(self._document, current))
            raise NotPlannedError("the plan is out of date", why=why, hint=_REPLAN_HINT)

    def restrict(self, plan: Plan) -> Plan:
        """Return the steps of a pass's plan that may run.

        These are all but the deletion of history that has become unreachable since; the next run collects that.
        Raises NotPlannedError, which names the steps and fields that were not planned.
        """
        collected = [
            step
            for step in plan.steps
            if step.collects_history and find_uncovered(self._document.steps, [build_step(step)])
        ]
        plan = replace(plan, steps=tuple(step for step in plan.steps if step not in collected))
        steps = [build_step(step) for step in plan.steps if not step.later and not step.held]
        missing = find_uncovered(self._document.steps, steps)
        if missing:
            raise NotPlannedError(
                "the saved plan doesn't include this, so nothing more is applied",
                why="; ".join(missing),
                hint=_REPLAN_HINT,
            )
        return plan


def _locations(plan: PlanDocument) -> list[tuple[str, str, str]]:
    return [(one.name, one.account, one.region) for one in plan.environments]


def _format_locations(locations: list[tuple[str, str, str]]) -> str:
    return ", ".join(f"{name} in {account} {region}" for name, account, region in locations)


def _changed_inputs(before: PlannedEnvironment, after: PlannedEnvironment) -> Iterator[str]:
    for name in sorted(before.specs.keys() | after.specs.keys()):
        if before.specs.get(name) != after.specs.get(name):
            yield name


def _plan_differences(before: PlanDocument, after: PlanDocument) -> Iterator[str]:
    """Describe the steps and refusals that only one of two plans has, or that only hidden values differ."""
    planned, needed = ({_describe_step(step): step for step in plan.steps} for plan in (before, after))
    obsolete = [step for line, step in planned.items() if line not in needed]
    new = [step for line, step in needed.items() if line not in planned]
    yield from (f"planned, and not needed now: {_describe_changes(step)}" for step in obsolete)
    yield from (f"needed now, and not planned: {_describe_changes(step)}" for step in new)
    refused = {refusal.object for refusal in before.refusals} ^ {refusal.object for refusal in after.refusals}
    yield from (f"refused in only one of the two: {name}" for name in sorted(refused))
    if not (obsolete or new or refused):
        yield "hidden values such as secrets changed, or the order of the steps did"


def _describe_step(step: PlannedStep) -> str:
    return step.model_dump_json()


def _describe_changes(step: PlannedStep) -> str:
    paths = ", ".join(change.path for change in step.changes) if step.action == "update" else ""
    return f"{step.action} {step.object}{f' ({paths})' if paths else ''}{' later' if step.later else ''}"
