"""Puts the parts together for one run: who is asked, what is remembered, what is wanted.

Everything above takes a `Site`: one environment, opened. The embedded AWS differs from AWS in its endpoint alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from controller.aws import AssumeRole, Aws, connect
from controller.aws.objects import BucketObjects
from controller.bundle.layers import server_digest
from controller.core.status import Event
from controller.core.values import Key
from controller.core.wanted import Place, Wanted
from controller.dataset import Dataset
from controller.local import control
from controller.reconcile import Reconciler
from controller.resources.base import Workshop, discover
from controller.runtime.home import in_bucket, on_this_machine, utc_now
from controller.runtime.leased import UnderLease
from controller.runtime.prepare import environments, wants
from controller.spec.load import load
from controller.spec.loaded import Specs
from controller.spec.models import Environment
from controller.store.base import Store
from controller.store.lease import Lease
from controller.store.s3 import S3Store


@dataclass(frozen=True)
class Site:
    """One environment, opened: its reconciler, and what its specs want."""

    environment: str
    reconciler: Reconciler
    wants: Sequence[Wanted]
    lease: Lease

    @property
    def aws(self) -> Aws:
        """The door to its account and region."""
        return self.reconciler.aws

    @property
    def store(self) -> Store:
        """What is remembered of it."""
        return self.reconciler.store

    def gone(self) -> list[Key]:
        """The ModelServices that were reconciled once and that no spec declares any more.

        Something of them is recorded before their first status is: a pass may have been cut short.
        """
        declared = {want.owner for want in self.wants}
        statuses, records = self.store.statuses(self.environment), self.store.records(self.environment)
        known = dict.fromkeys([*(status.owner for status in statuses), *(record.owner for record in records)])
        return [owner for owner in known if owner not in declared and owner.kind == "ModelService"]


def open_store(paths: Sequence[Path], environment: str, *, home: Path, local: bool) -> Store:
    """The store of an environment, to be read. Raises NotFoundError, CredentialsError, SpecError."""
    if local:
        return on_this_machine(home).store
    specs = load(paths)
    aws = open_door(specs.environment(environment))
    want = Wanted(specs.environment(environment), None, Place(aws.account, aws.region, aws.partition))
    return S3Store(BucketObjects(aws, want.bucket))


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
    shared = on_this_machine(home) if local else None
    with ExitStack() as ends:
        sites = []
        for name in environments(specs):
            aws = open_door(specs.environment(name), endpoint)
            place = Place(aws.account, aws.region, aws.partition)
            wanted = wants(specs, data, name, place, server_digest=server_digest(), commit=commit)
            kept = shared or in_bucket(aws, wanted[0], registry, tell)
            ends.callback(kept.lease.release)
            ends.callback(kept.store.close)
            under = aws.watched(UnderLease(kept.lease))
            sites.append(Site(name, Reconciler(registry, under, kept.store, utc_now, tell), wanted, kept.lease))
        yield sites


def open_door(environment: Environment, endpoint: str | None = None) -> Aws:
    """The door to an Environment's account and region. Raises CredentialsError when the account is another one."""
    spec = environment.spec
    # The embedded AWS is one account for all specs, so that production's can be tried as they are.
    account = None if endpoint else spec.account
    role = AssumeRole(spec.assume_role, tags={"moorage:environment": environment.name}) if spec.assume_role else None
    return connect(region=spec.region, assume_role=role, expected_account=account, endpoint=endpoint)
