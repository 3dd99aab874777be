"""`moorage diff`: how what is live differs from what is declared, and which of it is drift. Only reads."""

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
        bool, Parameter(negative="", help="Only what was changed in AWS since it was applied, not what specs changed.")
    ] = False,
    files: FileOptions = FileOptions(),
    remote: SourceOptions = SourceOptions(),
    place: BackendOptions = BackendOptions(),
    form: Output = "table",
) -> int:
    """Show how what is live differs from what is declared, field by field, and why: drift, or a changed spec.

    Exit 0 if nothing differs, 1 if something does, above 1 on errors.
    """

    def show() -> int:
        found = compare(files, remote, place, name)
        departed = [item for item in found.drifts if not drift or diff_view.has_drift(item)]
        refusals = [] if drift else found.refusals
        console.print_result(
            form,
            table=lambda _: diff_view.diff_text(departed, refusals),
            data=lambda: diff_view.diff_data(departed, refusals),
            names=[str(item.step.node.key) for item in departed],
        )
        return 1 if departed or refusals else 0

    return failure.run_guarded(show, lambda code: max(code, 2))


@dataclass(frozen=True)
class Comparison:
    """What differs, and what can't be compared because it isn't ours."""

    drifts: list[ResourceDrift]
    refusals: list[Refusal]


def compare(files: FileOptions, remote: SourceOptions, place: BackendOptions, name: str = "") -> Comparison:
    """Look at every environment, or at one ModelService in those that have it. Raises what reading AWS raises.

    Raises NotFoundError when no spec has that name.
    """
    snapshot = read_now(open_source(files, remote, place))
    owners = [owner for owner in snapshot.owners if owner.kind == "ModelService"]
    if name and name not in {owner.name for owner in owners}:
        declared = ", ".join(sorted({owner.name for owner in owners})) or "none"
        raise NotFoundError(f"no ModelService is named {name}", hint=f"these specs declare: {declared}")
    found = Comparison([], [])
    with EnvironmentFactory(place.home, local=place.local) as house:
        for environment in snapshot.environments:
            if not name or any(owner.name == name and owner.environment == environment for owner in owners):
                _compare_environment(house.open_environment(snapshot, environment), name, found)
    return found


def _compare_environment(environment: OpenEnvironment, name: str, found: Comparison) -> None:
    home, *services = environment.contexts
    survey = environment.reconciler.survey([home, *(want for want in services if name in ("", want.owner.name))])
    for error in survey.unreadable.values():
        raise error

    def concerns(owner: Key) -> bool:
        return name in ("", owner.name) and not (name and owner.kind == "Environment")

    registry = environment.reconciler.registry
    all_of_it = find_resource_drifts(survey.plan, survey.records, survey.seen, lambda kind: registry[kind].policy)
    found.drifts.extend(item for item in all_of_it if concerns(item.step.owner))
    found.refusals.extend(refusal for refusal in survey.plan.refusals if concerns(refusal.owner))
