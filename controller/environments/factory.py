"""Wire AWS clients, stores, leases and specs into open environments.

A process has one `EnvironmentFactory`; other code takes an `OpenEnvironment`. The embedded AWS differs from AWS in its
endpoint and in its backend.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, Self

from controller import embedded
from controller.aws import AssumeRole, AwsClient, connect
from controller.aws.calls import Hook
from controller.aws.rate_limits import RateLimiter
from controller.aws.s3_object_storage import S3ObjectStorage
from controller.bundle.layers import digest_server_layers
from controller.core.spec_context import AwsLocation, SpecContext
from controller.core.status import DiscardedEvents, EventSink
from controller.core.values import Key
from controller.environments import memory_arena
from controller.environments.backend import Backend, open_local_backend, open_s3_backend, utc_now
from controller.environments.cancellation import CancellationToken
from controller.environments.lease_guard import LeaseGuard
from controller.errors import NotFoundError
from controller.reconcile import Reconciler
from controller.resources.base import ResourceContext, discover_resources
from controller.sources.snapshots import Snapshot, build_contexts
from controller.spec.load import load_specs
from controller.spec.models import Environment
from controller.store.base import Store
from controller.store.lease import Lease
from controller.store.s3 import S3Store


@dataclass(frozen=True)
class OpenEnvironment:
    """One open environment: its reconciler, the contexts of its specs, and its lease."""

    name: str
    reconciler: Reconciler
    contexts: Sequence[SpecContext]
    lease: Lease

    @property
    def aws(self) -> AwsClient:
        """The client of its account and Region."""
        return self.reconciler.aws

    @property
    def store(self) -> Store:
        """The store with its records, statuses and events."""
        return self.reconciler.store

    def find_removed_specs(self) -> list[Key]:
        """Return the ModelServices that were reconciled once and that no spec declares any more.

        A spec counts as reconciled from its first record on: an interrupted pass leaves no status.
        """
        declared = {context.owner for context in self.contexts}
        statuses, records = self.store.list_statuses(self.name), self.store.list_records(self.name)
        known = dict.fromkeys([*(status.owner for status in statuses), *(record.owner for record in records)])
        return [owner for owner in known if owner not in declared and owner.kind == "ModelService"]


class EnvironmentSource(Protocol):
    """Opens environments, and knows the leases of those that are open."""

    @property
    def leases(self) -> Iterable[Lease]:
        """The leases of all opened environments, held or not."""

    def open_environment(self, snapshot: Snapshot, name: str) -> OpenEnvironment:
        """Open the environment of that name as the snapshot declares it. Called in any thread."""


def open_store(paths: Sequence[Path], environment: str, *, home: Path, local: bool) -> Store:
    """Open the store of an environment for reading. Raises NotFoundError, CredentialsError, SpecError."""
    if local:
        return open_local_backend(home).store
    specs = load_specs(paths)
    aws = connect_environment(specs.get_environment(environment))
    location = AwsLocation(aws.account, aws.region, aws.partition)
    context = SpecContext(specs.get_environment(environment), None, location)
    return S3Store(S3ObjectStorage(aws, context.bucket_name))


def open_aws_client(paths: Sequence[Path], environment: str, *, home: Path, local: bool) -> AwsClient:
    """Open a client of an environment's account for a single command.

    Raises NotFoundError, CredentialsError, SpecError.
    """
    status = embedded.status(home) if local else None
    if status is not None and not status.running:
        raise NotFoundError("no embedded AWS is running", hint="moorage local up, or reconcile --once --local")
    return connect_environment(load_specs(paths).get_environment(environment), status.endpoint if status else None)


class EnvironmentFactory:
    """Opens environments, and keeps one set of clients, backends and rate limits for the process.

    `local` uses the embedded AWS of `directory` and starts it if necessary. `hooks` see every call. `cancellation` ends
    reconciliation, but not the release of leases. `rate_limiter` defaults to AWS's rate limits. Use it as a context
    manager. Raises StoreError and UsageError.
    """

    def __init__(
        self,
        directory: Path,
        *,
        local: bool,
        events: EventSink | None = None,
        hooks: Sequence[Hook] = (),
        cancellation: CancellationToken | None = None,
        rate_limiter: RateLimiter | None = None,
    ) -> None:
        memory_arena.share_one_arena()
        self._endpoint = embedded.up(directory).endpoint if local else None
        self._local_backend = open_local_backend(directory) if local else None
        self._registry = discover_resources(ResourceContext(directory / "cache"))
        self._events, self._hooks = events or DiscardedEvents(), tuple(hooks)
        self._cancellation = cancellation or CancellationToken()
        self._rate_limiter, self._server_digest = rate_limiter or RateLimiter(), digest_server_layers()
        self._lock = threading.Lock()
        self._aws_clients: dict[_ClientKey, AwsClient] = {}
        self._backends: dict[tuple[_ClientKey, str], Backend] = {}

    def open_environment(self, snapshot: Snapshot, name: str) -> OpenEnvironment:
        """Open the environment of that name as the snapshot declares it; quick if it was open before.

        Raises CredentialsError and AwsError.
        """
        environment = snapshot.specs.get_environment(name)
        aws = self._aws_client(environment)
        location = AwsLocation(aws.account, aws.region, aws.partition)
        contexts = build_contexts(snapshot, name, location, server_digest=self._server_digest)
        backend = self._backend(aws, contexts[0])
        guarded = aws.with_hooks(self._cancellation, LeaseGuard(backend.lease))
        reconciler = Reconciler(
            self._registry,
            guarded,
            backend.store,
            utc_now,
            self._events,
            self._cancellation.raise_if_cancelled,
            backend.mutation_cache,
        )
        return OpenEnvironment(name, reconciler, contexts, backend.lease)

    def queue_client(self, region: str | None) -> AwsClient:
        """Open a client for the hints' queue with the process's own credentials: it belongs to no Environment."""
        return connect(
            region=region,
            hooks=[*self._hooks, self._cancellation],
            endpoint=self._endpoint,
            rate_limiter=self._rate_limiter,
        )

    def count_calls(self) -> Counter[str]:
        """Return the number of calls of all clients: `{"read": n, "write": n}`."""
        with self._lock:
            totals = Counter({"read": 0, "write": 0})
            for client in self._aws_clients.values():
                totals.update(client.call_counter.counts_by_kind())
            return totals

    @property
    def leases(self) -> Sequence[Lease]:
        """The leases of all opened environments, held or not."""
        with self._lock:
            return (
                [self._local_backend.lease]
                if self._local_backend
                else [backend.lease for backend in self._backends.values()]
            )

    def _aws_client(self, environment: Environment) -> AwsClient:
        with self._lock:
            key = _client_key(environment)
            if key not in self._aws_clients:
                self._aws_clients[key] = connect_environment(
                    environment, self._endpoint, hooks=self._hooks, rate_limiter=self._rate_limiter
                )
            return self._aws_clients[key]

    def _backend(self, aws: AwsClient, context: SpecContext) -> Backend:
        if self._local_backend is not None:
            return self._local_backend
        with self._lock:
            key = (_client_key(context.environment), context.bucket_name)
            if key not in self._backends:
                self._backends[key] = open_s3_backend(aws, context, self._registry, self._events)
            return self._backends[key]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for lease in self.leases:
            lease.release()
        for backend in [self._local_backend] if self._local_backend else self._backends.values():
            backend.store.close()


_ClientKey = tuple[str | None, ...]


def _client_key(environment: Environment) -> _ClientKey:
    spec = environment.spec
    return environment.name, spec.region, spec.account, spec.assume_role


def connect_environment(
    environment: Environment,
    endpoint: str | None = None,
    *,
    hooks: Sequence[Hook] = (),
    rate_limiter: RateLimiter | None = None,
) -> AwsClient:
    """Open a client of an Environment's account. Raises CredentialsError if the credentials belong to another one."""
    spec = environment.spec
    # The embedded AWS is one account for all specs, so that production specs can be tried unchanged.
    account = None if endpoint else spec.account
    role = AssumeRole(spec.assume_role, tags={"moorage:environment": environment.name}) if spec.assume_role else None
    return connect(
        region=spec.region,
        assume_role=role,
        expected_account=account,
        hooks=hooks,
        endpoint=endpoint,
        rate_limiter=rate_limiter,
    )
