"""`moorage plan`: what reconcile would do, without doing it. Only reads."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from controller.cli import failure, output, render_plan
from controller.cli.options import Files, Output, Place, Remote
from controller.cli.sources import open_source
from controller.core.plan import Plan
from controller.runtime.compose import House
from controller.runtime.source import read_now


def plan(
    *,
    files: Files = Files(),
    remote: Remote = Remote(),
    place: Place = Place(),
    form: Output = "table",
    prune: Annotated[bool, Parameter(help="Include the deletion of what no file declares any more.")] = False,
    detailed_exitcode: Annotated[
        bool, Parameter(negative="", help="Exit 0 for no changes, 1 for an error, 2 for changes.")
    ] = False,
) -> int:
    """Show what reconcile would do: field by field, what follows later, what trains."""

    def show() -> int:
        found = survey(files, remote, place, prune=prune)
        output.emit(
            form, table=lambda _: render_plan.text(found), data=lambda: render_plan.data(found), names=_names(found)
        )
        return 2 if detailed_exitcode and (found.steps or found.refusals) else 0

    return failure.guard(show, lambda _: 1) if detailed_exitcode else show()


def survey(files: Files, remote: Remote, place: Place, *, prune: bool = False) -> Plan:
    """Plan every environment, and put the plans together. Raises what reading AWS raises."""
    snapshot = read_now(open_source(files, remote, place))
    plans = []
    with House(place.home, local=place.local) as house:
        for name in snapshot.environments:
            site = house.site(snapshot, name)
            found = site.reconciler.survey(site.wants, gone=site.gone() if prune else ())
            for error in found.unreadable.values():
                raise error
            plans.append(found.plan)
    return Plan(tuple(s for p in plans for s in p.steps), tuple(r for p in plans for r in p.refusals))


def _names(found: Plan) -> list[str]:
    return [str(step.node.key) for step in found.steps]
