"""The backend of an environment: its store and its lease.

For the embedded AWS both are local files. For AWS they are in the environment's artifact bucket, so that every machine
that may change the environment knows what was applied, and only one changes it at a time.
"""

from __future__ import annotations

import os
import re
import socket
import time
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from controller import embedded
from controller.aws import AwsClient
from controller.aws.s3_object_storage import S3ObjectStorage
from controller.core.mutation_cache import MutationCache
from controller.core.spec_context import SpecContext
from controller.core.status import Event, EventSink
from controller.errors import FailedError, NotFoundError
from controller.reconcile import Reconciler
from controller.resources.base import ResourceRegistry
from controller.step_executor import StepExecutor
from controller.store.base import Store
from controller.store.file_lease import FileLease
from controller.store.lease import Lease
from controller.store.memory import MemoryStore
from controller.store.s3 import S3Store
from controller.store.s3_lease import S3Lease
from controller.store.sqlite import SqliteStore


@dataclass(frozen=True)
class Backend:
    """An environment's store, its lease, and the writes of this process that AWS may not show yet."""

    store: Store
    lease: Lease
    mutation_cache: MutationCache = field(default_factory=MutationCache)


def open_local_backend(directory: Path) -> Backend:
    """Open the backend for the embedded AWS of a state directory.

    The objects of an embedded AWS end with its process, so each process has a store of its own. Raises NotFoundError if
    none runs, and StoreError.
    """
    status = embedded.status(directory)
    if not status.running:
        raise NotFoundError("no embedded AWS is running", hint="moorage local up, or reconcile --once --local")
    name = f"local-{re.sub('[^0-9]', '', status.started)}-{status.pid}.db"
    for left in directory.glob("local-*.db*"):
        if not left.name.startswith(name):
            left.unlink(missing_ok=True)
    return Backend(SqliteStore(directory / name), FileLease(directory / "lease", now=utc_now))


def open_s3_backend(aws: AwsClient, context: SpecContext, registry: ResourceRegistry, events: EventSink) -> Backend:
    """Open the backend of an Environment in its artifact bucket, which is created when the lease is first acquired."""
    objects = S3ObjectStorage(aws, context.bucket_name)
    store = S3Store(objects)

    def make() -> None:
        for event in create_bucket(aws, context, registry):
            store.emit(event)
            events.emit(event)

    key, holder = f"moorage/lease/{context.environment.name}.json", f"process {os.getpid()} on {socket.gethostname()}"
    return Backend(store, S3Lease(objects, key, holder, now=uptime, create_bucket=make))


def create_bucket(aws: AwsClient, context: SpecContext, registry: ResourceRegistry) -> list[Event]:
    """Create the artifact bucket of an Environment if it doesn't exist, and return the events.

    The lease needs the bucket.

    The steps are planned and executed as usual. Several processes may do this at once: all create the same bucket.
    Raises FailedError if the Environment names a bucket that doesn't exist, and the errors of reading it.
    """
    only = {kind: resource for kind, resource in registry.items() if kind == "s3/bucket"}
    alone = Reconciler(only, aws, MemoryStore(), utc_now)
    survey = alone.survey([replace(context, model_services=())])
    for error in survey.unreadable.values():
        raise error
    for refusal in survey.plan.refusals:
        raise FailedError(refusal.message, where=str(refusal.node.key), hint=refusal.hint)
    executor, events = StepExecutor(only, aws, alone.store), []
    for step in survey.plan.steps:
        executor.execute(step)
        events.append(Event(utc_now(), step.owner, "Normal", step.action.event_reason, step.why, step.node.key))
    return events


def uptime() -> float:
    """Return monotonic seconds, which include suspended time where the system supports it."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


def utc_now() -> str:
    """Return the time in RFC 3339."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
