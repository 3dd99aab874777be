"""Puts the engine together for one command: specs, data, door to AWS, store, resource types. Nothing is decided here."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from controller import aws
from controller.bundle.layers import server_digest
from controller.cli.options import Files, Place
from controller.core.status import Event
from controller.core.values import Key
from controller.core.wanted import Place as Region
from controller.core.wanted import Wanted
from controller.errors import NotFoundError
from controller.local import control
from controller.reconcile import Reconciler
from controller.resources.base import Workshop, discover
from controller.runtime import prepare
from controller.spec.load import load
from controller.spec.loaded import Specs
from controller.store.sqlite import SqliteStore


@dataclass(frozen=True)
class Session:
    """One environment, ready to be surveyed or reconciled. `wants` holds the Environment first."""

    specs: Specs
    wants: list[Wanted]
    reconciler: Reconciler

    @property
    def environment(self) -> str:
        """The environment's name."""
        return self.wants[0].environment.name

    def gone(self) -> tuple[Key, ...]:
        """ModelServices that the store knows and no file declares any more."""
        declared = {want.owner for want in self.wants}
        known = [status.owner for status in self.reconciler.store.statuses(self.environment)]
        return tuple(owner for owner in known if owner.kind == "ModelService" and owner not in declared)


def sessions(files: Files, place: Place, tell: Callable[[Event], None] = lambda _: None) -> Iterator[Session]:
    """Yield a Session for each Environment that the specs declare or use.

    With `--local` the embedded AWS is started first if need be. Raises SpecError before anything else is touched.
    """
    specs = load(files.file)
    data = prepare.read_data(specs)
    endpoint = control.up(place.home).endpoint if place.local else None
    store, types = open_store(place), discover(Workshop(place.home / "cache"))
    server, commit = server_digest(), prepare.commit_of(_directory(files))
    for name in prepare.environments(specs):
        wanted = specs.environment(name).spec
        door = aws.connect(
            region=wanted.region,
            profile=place.profile,
            assume_role=wanted.assume_role,
            expected_account=None if place.local else wanted.account,
            endpoint=endpoint,
        )
        region = Region(door.account, door.region, door.partition)
        wants = prepare.wants(specs, data, name, region, server_digest=server, commit=commit)
        yield Session(specs, wants, Reconciler(types, door, store, now, tell))


def open_store(place: Place) -> SqliteStore:
    """Open the store of this machine. What was made in an embedded AWS is gone with it, so each one has its own file.

    Raises NotFoundError when there is no embedded AWS, and StoreError.
    """
    if not place.local:
        place.home.mkdir(parents=True, exist_ok=True)
        return SqliteStore(place.home / "state.sqlite")
    status = control.status(place.home)
    if not status.running:
        raise NotFoundError("no embedded AWS is running", hint="moorage local up, or reconcile --once --local")
    file = place.home / f"local-{re.sub('[^0-9]', '', status.started)}-{status.pid}.sqlite"
    for left in place.home.glob("local-*.sqlite*"):
        if not left.name.startswith(file.name):
            left.unlink(missing_ok=True)
    return SqliteStore(file)


def now() -> str:
    """Give the time as RFC 3339, UTC, to the millisecond."""
    return dt.datetime.now(dt.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _directory(files: Files) -> Path:
    first = files.file[0]
    return first if first.is_dir() else first.parent
