"""`moorage delete`: one model goes, whatever the files say."""

from __future__ import annotations

import sys
import time
from typing import Annotated

from cyclopts import Parameter
from rich.text import Text

from controller.cli import output
from controller.cli.get import Environments
from controller.cli.options import Files, Name, Place, duration
from controller.cli.progress import Progress
from controller.cli.render import columns
from controller.core.values import Key
from controller.errors import StoppedError, UsageError
from controller.runtime.compose import House, Site
from controller.runtime.delete import Deletion, look
from controller.runtime.delete import delete as carry_out
from controller.runtime.halt import Halt
from controller.runtime.source import Directory, read_now


def delete(
    name: Name,
    /,
    *,
    yes: Annotated[bool, Parameter(negative="", help="Don't ask.")] = False,
    timeout: Annotated[str, Parameter(help="Give up waiting after this long.")] = "30m",
    environment: Environments = "default",
    files: Files = Files(),
    place: Place = Place(),
) -> int:
    """Delete a model's service, API and whatever else is its own; what policy.deletion retains stays and is listed.

    To delete it for good, remove its file: as long as one declares it, the next reconcile makes it again.
    """
    seconds, owner, halt = duration("--timeout", timeout), Key(environment, "ModelService", name), Halt()
    snapshot = read_now(Directory(files.file))
    progress = Progress(output.console(stderr=True), time.monotonic)
    with House(place.home, local=place.local, tell=progress.event, halt=halt) as house:
        site = house.site(snapshot, environment)
        _refuse_suspended(site, owner)
        output.show(text(look(site, owner)))
        if not yes:
            _ask(name)
        with progress:
            carry_out(house, snapshot, owner, halt, timeout=seconds, pace=place.pace)
    if name in snapshot.specs.services:
        output.progress(Text(f"a file still declares {name}: the next reconcile makes it again", "yellow"))
    return 0


def text(found: Deletion) -> Text:
    """What goes and what stays, a line for each."""
    goes = [("delete", str(step.node.key)) for step in found.plan.steps]
    stays = [("keep", str(record.key)) for record in found.stays]
    return columns([*goes, *stays]) if goes or stays else Text("nothing is left of it")


def _refuse_suspended(site: Site, owner: Key) -> None:
    want = next((want for want in site.wants if want.owner == owner), None)
    if want is not None and want.service is not None and want.service.spec.policy.suspend:
        raise StoppedError(f"{owner.name} is suspended", why="policy.suspend leaves everything as it is")


def _ask(name: str) -> None:
    if not sys.stdin.isatty():
        raise UsageError("nobody can be asked whether to delete", why="this is no terminal", hint="--yes")
    output.progress(Text(f"Type {name} to delete it:"))
    if sys.stdin.readline().strip() != name:
        raise StoppedError("nothing was deleted", why="the name was not typed")
