"""Puts the parts together for one run: who is asked, what is remembered, what is wanted.

Everything above takes a `Site`: one environment, opened. The embedded AWS differs from AWS in its endpoint alone.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from controller.aws import AssumeRole, Aws, connect
from controller.bundle.layers import server_digest
from controller.core.status import Event
from controller.core.values import Key
from controller.core.wanted import Place, Wanted
from controller.dataset import Dataset
from controller.errors import NotFoundError
from controller.local import control
from controller.reconcile import Reconciler
from controller.resources.base import Workshop, discover
from controller.runtime.prepare import environments, wants
from controller.spec.loaded import Specs
from controller.spec.models import Environment
from controller.store.base import Store
from controller.store.file_lease import FileLease
from controller.store.sqlite import SqliteStore


@dataclass(frozen=True)
class Site:
    """One environment, opened: its reconciler, and what its specs want."""

    environment: str
    reconciler: Reconciler
    wants: Sequence[Wanted]

    @property
    def aws(self) -> Aws:
        """The door to its account and region."""
        return self.reconciler.aws

    @property
    def store(self) -> Store:
        """What is remembered of it."""
        return self.reconciler.store

    def gone(self) -> list[Key]:
        """The ModelServices that were reconciled once and that no spec declares any more."""
        declared = {want.owner for want in self.wants}
        known = [status.owner for status in self.store.statuses(self.environment)]
        return [owner for owner in known if owner not in declared and owner.kind == "ModelService"]


def open_store(home: Path, *, local: bool) -> SqliteStore:
    """The store of a state directory. What was made in an embedded AWS ends with it, so each one has a store of its own.

    Raises NotFoundError when no embedded AWS runs, and StoreError.
    """
    home.mkdir(parents=True, exist_ok=True)
    if not local:
        return SqliteStore(home / "state.db")
    status = control.status(home)
    if not status.running:
        raise NotFoundError("no embedded AWS is running", hint="moorage local up, or reconcile --once --local")
    name = f"local-{re.sub('[^0-9]', '', status.started)}-{status.pid}.db"
    for left in home.glob("local-*.db*"):
        if not left.name.startswith(name):
            left.unlink(missing_ok=True)
    return SqliteStore(home / name)


@contextmanager
def open_sites(
    specs: Specs,
    data: Mapping[str, Dataset],
    *,
    home: Path,
    local: bool,
    commit: str = "",
    tell: Callable[[Event], None] = lambda _: None,
) -> Iterator[list[Site]]:
    """Every environment that the specs declare or use, ready to be planned or reconciled.

    `local` asks the embedded AWS of `home`, and starts it if need be. Raises CredentialsError, StoreError, UsageError.
    """
    endpoint = control.up(home).endpoint if local else None
    registry = discover(Workshop(home / "cache"))
    store = open_store(home, local=local)
    try:
        sites = []
        for name in environments(specs):
            aws = open_door(specs.environment(name), endpoint)
            place = Place(aws.account, aws.region, aws.partition)
            wanted = wants(specs, data, name, place, server_digest=server_digest(), commit=commit)
            sites.append(Site(name, Reconciler(registry, aws, store, utc_now, tell), wanted))
        yield sites
    finally:
        store.close()


def open_door(environment: Environment, endpoint: str | None = None) -> Aws:
    """The door to an Environment's account and region. Raises CredentialsError when the account is another one."""
    spec = environment.spec
    # The embedded AWS is one account for all specs, so that production's can be tried as they are.
    account = None if endpoint else spec.account
    role = AssumeRole(spec.assume_role, tags={"moorage:environment": environment.name}) if spec.assume_role else None
    return connect(region=spec.region, assume_role=role, expected_account=account, endpoint=endpoint)


def lease(home: Path) -> FileLease:
    """The right to change anything from this state directory; one holder at a time."""
    return FileLease(home / "lease", now=utc_now)


def utc_now() -> str:
    """The time, as RFC 3339 has it."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
