"""`moorage delete`: delete one model, even if a file still declares it."""

from __future__ import annotations

import sys
import time
from typing import Annotated

from cyclopts import Parameter
from rich.text import Text

from controller.cli.get import Environments
from controller.cli.options import BackendOptions, FileOptions, Name, parse_duration_option
from controller.cli.output import console
from controller.cli.output.columns import align_columns
from controller.cli.output.progress_view import Progress
from controller.core.values import Key
from controller.environments.cancellation import CancellationToken
from controller.environments.factory import EnvironmentFactory, OpenEnvironment
from controller.errors import StoppedError, UsageError
from controller.operations.delete import DeletionPreview, delete_spec, preview_deletion
from controller.sources.source import DirectorySource, read_now


def delete(
    name: Name,
    /,
    *,
    yes: Annotated[bool, Parameter(negative="", help="Delete without asking.")] = False,
    timeout: Annotated[str, Parameter(help="Stop waiting after this time; AWS finishes what was started.")] = "30m",
    environment: Environments = "default",
    files: FileOptions = FileOptions(),
    place: BackendOptions = BackendOptions(),
) -> int:
    """Delete a model's service, API and everything else that only it uses. List what policy.deletion retains.

    To delete the model for good, remove its file: as long as a file declares it, the next reconcile creates it again.
    """
    seconds = parse_duration_option("--timeout", timeout)
    owner, cancellation = Key(environment, "ModelService", name), CancellationToken()
    snapshot = read_now(DirectorySource(files.file))
    progress = Progress(console.console(stderr=True), time.monotonic)
    with EnvironmentFactory(place.home, local=place.local, events=progress, cancellation=cancellation) as factory:
        opened = factory.open_environment(snapshot, environment)
        _refuse_suspended(opened, owner)
        console.print_text(preview_text(preview_deletion(opened, owner)))
        if not yes:
            _confirm(name)
        with progress:
            delete_spec(factory, snapshot, owner, cancellation, timeout=seconds, pace=place.pace)
    if name in snapshot.specs.services:
        console.print_progress(
            Text(f"a file still declares {name}, so the next reconcile creates it again: remove the file", "yellow")
        )
    return 0


def preview_text(preview: DeletionPreview) -> Text:
    """List the objects to delete and the objects to keep, one a line."""
    deleted = [("delete", str(step.node.key)) for step in preview.plan.steps]
    kept = [("keep", str(record.key)) for record in preview.retained]
    return align_columns([*deleted, *kept]) if deleted or kept else Text("no AWS objects to delete")


def _refuse_suspended(environment: OpenEnvironment, owner: Key) -> None:
    context = next((context for context in environment.contexts if context.owner == owner), None)
    if context is not None and context.service is not None and context.service.spec.policy.suspend:
        raise StoppedError(
            f"{owner.name} is suspended, and nothing was deleted",
            why="its policy.suspend is true",
            hint="set policy.suspend to false, or remove its file",
        )


def _confirm(name: str) -> None:
    if not sys.stdin.isatty():
        raise UsageError(
            f"can't ask whether to delete {name}", why="stdin isn't a terminal", hint="to delete without asking: --yes"
        )
    console.print_progress(Text(f"Type {name} to confirm the deletion:"))
    if sys.stdin.readline().strip() != name:
        raise StoppedError("nothing was deleted", why=f"the answer wasn't {name}")
