"""Puts the parts together: who is asked, what is remembered, what is wanted.

A process has one `House`; everything else takes a `Site`: one environment, opened. The embedded AWS differs from AWS in
its endpoint, and in where it is remembered.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from controller import embedded
from controller.aws import AssumeRole, AwsClient, connect
from controller.aws.calls import Hook
from controller.aws.rate_limits import RateLimiter
from controller.aws.s3_object_storage import S3ObjectStorage
from controller.bundle.layers import digest_server_layers
from controller.core.spec_context import AwsLocation, SpecContext
from controller.core.status import Event
from controller.core.values import Key
from controller.errors import NotFoundError
from controller.reconcile import Reconciler
from controller.resources.base import ResourceContext, discover_resources
from controller.runtime import heap
from controller.runtime.halt import Halt
from controller.runtime.home import Home, in_bucket, on_this_machine, utc_now
from controller.runtime.leased import UnderLease
from controller.runtime.prepare import Snapshot, wants
from controller.spec.load import load_specs
from controller.spec.models import Environment
from controller.store.base import Store
from controller.store.lease import Lease
from controller.store.s3 import S3Store


@dataclass(frozen=True)
class Site:
    """One environment, opened: its reconciler, and what its specs want."""

    environment: str
    reconciler: Reconciler
    wants: Sequence[SpecContext]
    lease: Lease

    @property
    def aws(self) -> AwsClient:
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
        statuses, records = self.store.list_statuses(self.environment), self.store.list_records(self.environment)
        known = dict.fromkeys([*(status.owner for status in statuses), *(record.owner for record in records)])
        return [owner for owner in known if owner not in declared and owner.kind == "ModelService"]


OpenSite = Callable[[Snapshot, str], Site]


def open_store(paths: Sequence[Path], environment: str, *, home: Path, local: bool) -> Store:
    """The store of an environment, to be read. Raises NotFoundError, CredentialsError, SpecError."""
    if local:
        return on_this_machine(home).store
    specs = load_specs(paths)
    aws = open_door(specs.get_environment(environment))
    want = SpecContext(specs.get_environment(environment), None, AwsLocation(aws.account, aws.region, aws.partition))
    return S3Store(S3ObjectStorage(aws, want.bucket_name))


def open_account(paths: Sequence[Path], environment: str, *, home: Path, local: bool) -> AwsClient:
    """The door to an environment's account, to look or to act for a person. Raises NotFoundError, CredentialsError, SpecError."""
    status = embedded.status(home) if local else None
    if status is not None and not status.running:
        raise NotFoundError("no embedded AWS is running", hint="moorage local up, or reconcile --once --local")
    return open_door(load_specs(paths).get_environment(environment), status.endpoint if status else None)


class House:
    """What a process opens once, whatever comes and goes in the specs: homes, doors, and one set of rate budgets.

    `local` asks the embedded AWS of `directory`, and starts it if need be. `hooks` watch every call; `halt` ends what
    reconciles, and lets leases be given back; `budgets` are AWS's rates, unless others are given. Use it as a context manager. Raises StoreError and UsageError.
    """

    def __init__(
        self,
        directory: Path,
        *,
        local: bool,
        tell: Callable[[Event], None] = lambda _: None,
        hooks: Sequence[Hook] = (),
        halt: Halt | None = None,
        budgets: RateLimiter | None = None,
    ) -> None:
        heap.one_for_all_threads()
        self._endpoint = embedded.up(directory).endpoint if local else None
        self._shared = on_this_machine(directory) if local else None
        self._registry = discover_resources(ResourceContext(directory / "cache"))
        self._tell, self._hooks, self._halt = tell, tuple(hooks), halt or Halt()
        self._budgets, self._server_digest = budgets or RateLimiter(), digest_server_layers()
        self._lock = threading.Lock()
        self._doors: dict[_Door, AwsClient] = {}
        self._homes: dict[tuple[_Door, str], Home] = {}

    def site(self, snapshot: Snapshot, name: str) -> Site:
        """Open the environment of that name, with all that the snapshot wants of it; quick when it was open before.

        Raises CredentialsError and AwsError.
        """
        environment = snapshot.specs.get_environment(name)
        aws = self._door(environment)
        place = AwsLocation(aws.account, aws.region, aws.partition)
        wanted = wants(snapshot, name, place, server_digest=self._server_digest)
        home = self._home(aws, wanted[0])
        under = aws.with_hooks(self._halt, UnderLease(home.lease))
        reconciler = Reconciler(self._registry, under, home.store, utc_now, self._tell, self._halt.check, home.recent)
        return Site(name, reconciler, wanted, home.lease)

    def queue_door(self, region: str | None) -> AwsClient:
        """The door to the hints' queue, as whoever the process is: it belongs to no Environment."""
        return connect(
            region=region, hooks=[*self._hooks, self._halt], endpoint=self._endpoint, rate_limiter=self._budgets
        )

    def calls(self) -> Counter[str]:
        """How many calls were sent through all doors: `{"read": n, "write": n}`."""
        with self._lock:
            totals = Counter({"read": 0, "write": 0})
            for door in self._doors.values():
                totals.update(door.call_counter.counts_by_kind())
            return totals

    @property
    def leases(self) -> Sequence[Lease]:
        """The leases of all environments that were opened, held or not."""
        with self._lock:
            return [self._shared.lease] if self._shared else [home.lease for home in self._homes.values()]

    def _door(self, environment: Environment) -> AwsClient:
        with self._lock:
            key = _door_key(environment)
            if key not in self._doors:
                self._doors[key] = open_door(environment, self._endpoint, hooks=self._hooks, budgets=self._budgets)
            return self._doors[key]

    def _home(self, aws: AwsClient, want: SpecContext) -> Home:
        if self._shared is not None:
            return self._shared
        with self._lock:
            key = (_door_key(want.environment), want.bucket_name)
            if key not in self._homes:
                self._homes[key] = in_bucket(aws, want, self._registry, self._tell)
            return self._homes[key]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for lease in self.leases:
            lease.release()
        for home in [self._shared] if self._shared else self._homes.values():
            home.store.close()


_Door = tuple[str | None, ...]


def _door_key(environment: Environment) -> _Door:
    spec = environment.spec
    return environment.name, spec.region, spec.account, spec.assume_role


def open_door(
    environment: Environment,
    endpoint: str | None = None,
    *,
    hooks: Sequence[Hook] = (),
    budgets: RateLimiter | None = None,
) -> AwsClient:
    """The door to an Environment's account and region. Raises CredentialsError when the account is another one."""
    spec = environment.spec
    # The embedded AWS is one account for all specs, so that production's can be tried as they are.
    account = None if endpoint else spec.account
    role = AssumeRole(spec.assume_role, tags={"moorage:environment": environment.name}) if spec.assume_role else None
    return connect(
        region=spec.region,
        assume_role=role,
        expected_account=account,
        hooks=hooks,
        endpoint=endpoint,
        rate_limiter=budgets,
    )
