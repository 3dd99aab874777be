"""The commands: parse, compose, print, exit code. No logic of the domain lives here.

A command is imported when it is called, so `moorage --version` stays quick. Each returns its exit code; what it raises
becomes a message and an exit code in `failure`. stdout is data, stderr is progress.
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

app = App(name="moorage", version=__version__, help="Keeps machine-learning models on ECS moored to what Git declares.")
app.command("controller.cli.validate:validate", help="Check specs, without asking AWS.")
app.command("controller.cli.plan:plan", help="Show what reconcile would do, field by field.")
app.command("controller.cli.diff:diff", help="Show how what is live differs from what is declared, and why.")
app.command("controller.cli.reconcile:reconcile", help="Drive AWS to what the specs declare.")
app.command("controller.cli.get:get", help="Show models and how they stand.")
app.command("controller.cli.get:describe", help="Show one model with its resources, conditions and events.")
app.command("controller.cli.get:events", help="Show what happened.")
app.command("controller.cli.why:why", help="Follow a model from its live route to the commit it was trained from.")
app.command("controller.cli.history:history", help="Show what a model went through, revision by revision.")
app.command("controller.cli.logs:logs", help="Show what training, tasks or the controller said.")
app.command("controller.cli.wait:wait", help="Wait until a condition of a model holds.")
app.command("controller.cli.approve:approve", help="Approve or reject a version that waits for a person.")
app.command("controller.cli.retry:retry", help="Try again what failed and stays failed.")
app.command("controller.cli.delete:delete", help="Delete a model and what belongs to it alone.")
app.command("controller.cli.doctor:doctor", help="Check what Moorage needs of this machine and this account.")
app.command("controller.cli.predict:predict", help="Ask a model through its API.")
app.command("controller.cli.bundle:bundle", help="Make a bundle of a model trained elsewhere.")
app.command("controller.cli.policy:policy", help="Print the exact IAM policy that these specs need.")
app.command("controller.cli.imports:app", name="import", help="Write a spec for what exists already.")
app.command("controller.cli.rollback:rollback", help="Go back to an earlier model, by an edit of the spec.")
app.command("controller.cli.schema:schema", help="Print the JSON Schema of a kind.")
app.command("controller.cli.explain:explain", help="Explain a field of a spec.")
app.command("controller.cli.local:app", name="local", help="Start, stop and find the embedded AWS.")


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
    """Run the `reconcile` command: `moorage reconcile`, for short."""
    _start(["reconcile", *sys.argv[1:]])


def _start(arguments: Sequence[str]) -> NoReturn:
    # A variable that is set to nothing is as good as none; the parser would ask for a truth.
    if not os.environ.get("MOORAGE_LOCAL"):
        os.environ.pop("MOORAGE_LOCAL", None)
    sys.exit(run(arguments))
