"""`moorage plan`: show what reconcile would do. Only reads."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from controller.cli import failure
from controller.cli.options import BackendOptions, FileOptions, Format, Output, SourceOptions
from controller.cli.output import console, github_actions, plan_view
from controller.cli.output.plan_report import plan_report as as_markdown
from controller.cli.sources import open_source
from controller.environments.factory import EnvironmentFactory
from controller.errors import UsageError
from controller.planning.plan_document import PlanDocument
from controller.planning.saved_plan import plan_environments, write_saved_plan
from controller.sources.source import read_now


def plan(
    *,
    files: FileOptions = FileOptions(),
    remote: SourceOptions = SourceOptions(),
    place: BackendOptions = BackendOptions(),
    form: Output = "table",
    prune: Annotated[
        bool, Parameter(help="Plan the deletion of ModelServices that no file declares any more.")
    ] = False,
    out: Annotated[Path | None, Parameter(help="Write the plan to this file, for reconcile --once --plan.")] = None,
    report: Annotated[
        Literal["github", "markdown"] | None,
        Parameter(
            help="Report for a pull request: markdown prints a comment instead of --output; github appends to the"
            " summary of the current GitHub Actions step."
        ),
    ] = None,
    detailed_exitcode: Annotated[
        bool, Parameter(negative="", help="Exit 0 without changes, 1 on an error, 2 with changes.")
    ] = False,
) -> int:
    """Show what reconcile would do: the changes field by field, the later steps and the training runs."""

    def show() -> int:
        if report == "github" and not github_actions.remaining_bytes():
            raise UsageError(
                "--report github needs the summary of a GitHub Actions step",
                why="GITHUB_STEP_SUMMARY isn't set",
                hint="run it in GitHub Actions, or use --report markdown",
            )
        found = make_plan_document(files, remote, place, prune=prune)
        if out is not None:
            write_saved_plan(out, found)
        if report == "markdown":
            sys.stdout.write(as_markdown(found))
        else:
            show_plan(found, form)
        if report == "github":
            github_actions.append_summary(
                as_markdown(found, github_actions.remaining_bytes(), github_actions.size_in_bytes)
            )
        return 2 if detailed_exitcode and found.acts else 0

    return failure.run_guarded(show, lambda _: 1) if detailed_exitcode else show()


def make_plan_document(
    files: FileOptions, remote: SourceOptions, place: BackendOptions, *, prune: bool = False
) -> PlanDocument:
    """Plan every environment. Raises every error of reading AWS."""
    snapshot = read_now(open_source(files, remote, place))
    with EnvironmentFactory(place.home, local=place.local) as factory:
        return plan_environments(factory, snapshot, prune=prune)


def show_plan(document: PlanDocument, form: Format) -> None:
    """Print a plan."""
    console.print_result(
        form,
        table=lambda wide: plan_view.plan_text(document, console.terminal_width(plan_view.WIDTH), whole=wide),
        data=lambda: document.model_dump(mode="json", by_alias=True),
        names=[step.object for step in document.steps],
    )
