"""The commands: parse options, call, print, return an exit code. Domain logic doesn't belong here.

A command is imported when it is called, so `moorage --version` stays fast. Each command returns its exit code, and
`failure` turns exceptions into a message and an exit code. stdout is data, stderr is progress.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import NoReturn

from cyclopts import App, CycloptsError

from controller import __version__
from controller.cli import failure
from controller.errors import UsageError

app = App(name="moorage", version=__version__, help="Keep machine-learning models on ECS as Git declares them.")
app.command("controller.cli.validate:validate", help="Check specs and their data without calling AWS.")
app.command("controller.cli.plan:plan", help="Show what reconcile would do, field by field. Only reads.")
app.command(
    "controller.cli.diff:diff",
    help="Show how live objects differ from the specs, and why.\n\n"
    "Exit 0: no difference. 1: at least one difference. Above 1: an error.",
)
app.command(
    "controller.cli.reconcile:reconcile",
    help="Change AWS until it matches the specs.\n\n"
    "With --once, exit when the specs are ready, failed or waiting for a person. Without it, run until stopped.",
)
app.command("controller.cli.get:get", help="Show the stored status of one spec, or of all specs of an environment.")
app.command("controller.cli.get:describe", help="Show one spec with its conditions, resources and events.")
app.command("controller.cli.get:events", help="Show events, oldest first, of one spec or of all.")
app.command(
    "controller.cli.why:why",
    help="Trace a model from its live route to the commit it was trained from.\n\n"
    "Exit 6: a hop is missing or contradicts another.",
)
app.command("controller.cli.history:history", help="Show the revisions of a model, oldest first.")
app.command("controller.cli.logs:logs", help="Show the logs of a model's tasks or training job, or its events.")
app.command(
    "controller.cli.wait:wait",
    help="Wait until a model has a condition.\n\n"
    "Exit 9: the condition doesn't hold after --timeout. 6: the model has no status by then.",
)
app.command("controller.cli.approve:approve", help="Approve or reject a model version that waits for approval.")
app.command("controller.cli.retry:retry", help="Retry a failed training job or a rolled-back deployment.")
app.command(
    "controller.cli.delete:delete",
    help="Delete a model and the AWS objects that only it uses.\n\n"
    "To delete it for good, remove its file too: the next reconcile creates again what a file declares.",
)
app.command(
    "controller.cli.doctor:doctor",
    help="Check this machine and the AWS account for what Moorage needs.\n\n"
    "Exit 2: the specs are invalid. 3: the credentials don't work. 4: another check failed. Warnings exit 0.",
)
app.command("controller.cli.predict:predict", help="Send a row to a model's API and print the prediction.")
app.command("controller.cli.bundle:bundle", help="Build a bundle from a model that was trained elsewhere.")
app.command("controller.cli.policy:policy", help="Print the exact IAM policies that the specs need.")
app.command("controller.cli.imports:app", name="import", help="Write a spec for existing AWS objects. Only reads AWS.")
app.command("controller.cli.rollback:rollback", help="Pin an earlier model version in the spec's file.")
app.command("controller.cli.schema:schema", help="Print the JSON Schema of a kind or of a plan.")
app.command("controller.cli.explain:explain", help="Explain a field of a spec.")
app.command("controller.cli.local:app", name="local", help="Start, stop and inspect the embedded AWS.")


def run(arguments: Sequence[str]) -> int:
    """Run one command line and return its exit code."""
    return failure.run_guarded(lambda: _call(arguments))


def _call(arguments: Sequence[str]) -> int:
    try:
        code = app(arguments, exit_on_error=False, print_error=False, result_action="return_value")
    except CycloptsError as error:
        raise UsageError(" ".join(str(error).split()), hint="moorage --help") from error
    return code if isinstance(code, int) else 0


def main() -> None:
    """Run the `moorage` command."""
    _start(sys.argv[1:])


def reconcile() -> None:
    """Run the `reconcile` command, short for `moorage reconcile`."""
    _start(["reconcile", *sys.argv[1:]])


def _start(arguments: Sequence[str]) -> NoReturn:
    # Treat an empty variable as unset: the parser would reject it as a boolean.
    if not os.environ.get("MOORAGE_LOCAL"):
        os.environ.pop("MOORAGE_LOCAL", None)
    sys.exit(run(arguments))
