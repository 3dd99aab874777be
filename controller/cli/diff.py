"""`moorage diff`: how live objects differ from the specs, and which differences are drift. Only reads."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from cyclopts import Parameter

from controller.cli import failure
from controller.cli.options import BackendOptions, FileOptions, Name, Output, SourceOptions
from controller.cli.output import console, diff_view
from controller.cli.sources import open_source
from controller.core.drift import ResourceDrift, find_resource_drifts
from controller.core.plan import Refusal
from controller.core.values import Key
from controller.environments.factory import EnvironmentFactory, OpenEnvironment
from controller.errors import NotFoundError
from controller.sources.source import read_now


def diff(
    name: Name = "",
    /,
    *,
    drift: Annotated[
        bool,
        Parameter(negative="", help="Show only what changed in AWS since it was applied, not what the specs changed."),
    ] = False,
    files: FileOptions = FileOptions(),
    remote: SourceOptions = SourceOptions(),
    place: BackendOptions = BackendOptions(),
    form: Output = "table",
) -> int:
    """Show how live objects differ from the specs, field by field, and why: drift, or a changed spec.

    Return 0 if nothing differs, 1 if at least one object does; an error exits above 1.
    """

    def show() -> int:
        found = compare(files, remote, place, name)
        shown = [item for item in found.drifts if not drift or diff_view.has_drift(item)]
        refusals = [] if drift else found.refusals
        console.print_result(
            form,
            table=lambda _: diff_view.diff_text(shown, refusals),
            data=lambda: diff_view.diff_data(shown, refusals),
            names=[str(item.step.node.key) for item in shown],
        )
        return 1 if shown or refusals else 0

    return failure.run_guarded(show, lambda code: max(code, 2))


@dataclass(frozen=True)
class Comparison:
    """The differences, and the objects that Moorage refuses to touch, because it doesn't own them."""

    drifts: list[ResourceDrift]
    refusals: list[Refusal]


def compare(files: FileOptions, remote: SourceOptions, place: BackendOptions, name: str = "") -> Comparison:
    """Compare every environment, or one ModelService in each environment that has it.

    Raises NotFoundError when no spec has that name, and every error of reading AWS.
    """
    snapshot = read_now(open_source(files, remote, place))
    owners = [owner for owner in snapshot.owners if owner.kind == "ModelService"]
    if name and name not in {owner.name for owner in owners}:
        declared = ", ".join(sorted({owner.name for owner in owners})) or "none"
        raise NotFoundError(f"no ModelService is named {name}", hint=f"the specs declare: {declared}")
    found = Comparison([], [])
    with EnvironmentFactory(place.home, local=place.local) as factory:
        for environment in snapshot.environments:
            if not name or any(owner.name == name and owner.environment == environment for owner in owners):
                _compare_environment(factory.open_environment(snapshot, environment), name, found)
    return found


def _compare_environment(environment: OpenEnvironment, name: str, found: Comparison) -> None:
    home, *services = environment.contexts
    survey = environment.reconciler.survey(
        [home, *(context for context in services if name in ("", context.owner.name))]
    )
    for error in survey.unreadable.values():
        raise error

    def is_selected(owner: Key) -> bool:
        return name in ("", owner.name) and not (name and owner.kind == "Environment")

    registry = environment.reconciler.registry
    drifts = find_resource_drifts(survey.plan, survey.records, survey.seen, lambda kind: registry[kind].policy)
    found.drifts.extend(item for item in drifts if is_selected(item.step.owner))
    found.refusals.extend(refusal for refusal in survey.plan.refusals if is_selected(refusal.owner))
