"""`moorage delete`: one model goes, whatever the files say."""

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
from controller.operations.delete import DeletionPreview, preview_deletion
from controller.operations.delete import delete_spec as carry_out
from controller.sources.source import DirectorySource, read_now


def delete(
    name: Name,
    /,
    *,
    yes: Annotated[bool, Parameter(negative="", help="Don't ask.")] = False,
    timeout: Annotated[str, Parameter(help="Give up waiting after this long.")] = "30m",
    environment: Environments = "default",
    files: FileOptions = FileOptions(),
    place: BackendOptions = BackendOptions(),
) -> int:
    """Delete a model's service, API and whatever else is its own; what policy.deletion retains stays and is listed.

    To delete it for good, remove its file: as long as one declares it, the next reconcile makes it again.
    """
    seconds, owner, halt = (
        parse_duration_option("--timeout", timeout),
        Key(environment, "ModelService", name),
        CancellationToken(),
    )
    snapshot = read_now(DirectorySource(files.file))
    progress = Progress(console.console(stderr=True), time.monotonic)
    with EnvironmentFactory(place.home, local=place.local, events=progress, cancellation=halt) as house:
        site = house.open_environment(snapshot, environment)
        _refuse_suspended(site, owner)
        console.print_text(preview_text(preview_deletion(site, owner)))
        if not yes:
            _confirm(name)
        with progress:
            carry_out(house, snapshot, owner, halt, timeout=seconds, pace=place.pace)
    if name in snapshot.specs.services:
        console.print_progress(Text(f"a file still declares {name}: the next reconcile makes it again", "yellow"))
    return 0


def preview_text(preview: DeletionPreview) -> Text:
    """What goes and what stays, a line for each."""
    goes = [("delete", str(step.node.key)) for step in preview.plan.steps]
    stays = [("keep", str(record.key)) for record in preview.retained]
    return align_columns([*goes, *stays]) if goes or stays else Text("nothing is left of it")


def _refuse_suspended(environment: OpenEnvironment, owner: Key) -> None:
    want = next((want for want in environment.contexts if want.owner == owner), None)
    if want is not None and want.service is not None and want.service.spec.policy.suspend:
        raise StoppedError(f"{owner.name} is suspended", why="policy.suspend leaves everything as it is")


def _confirm(name: str) -> None:
    if not sys.stdin.isatty():
        raise UsageError("nobody can be asked whether to delete", why="this is no terminal", hint="--yes")
    console.print_progress(Text(f"Type {name} to delete it:"))
    if sys.stdin.readline().strip() != name:
        raise StoppedError("nothing was deleted", why="the name was not typed")
