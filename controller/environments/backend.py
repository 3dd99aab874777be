"""Where an environment is remembered, and where the right to change it is kept.

With the embedded AWS both are files of this machine. With AWS they are in the environment's artifact bucket, so that
any machine that can change the environment knows what was applied, and none does while another is at it.
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
    """An environment's records, the right to change it, and what this process wrote and AWS may not show yet."""

    store: Store
    lease: Lease
    mutation_cache: MutationCache = field(default_factory=MutationCache)


def open_local_backend(directory: Path) -> Backend:
    """The home of whatever is in the embedded AWS of a state directory.

    What was made in an embedded AWS ends with it, so each one has a store of its own. Raises NotFoundError when none
    runs, and StoreError.
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
    """The home of the Environment `want` in its artifact bucket, which is made when the lease is first taken."""
    objects = S3ObjectStorage(aws, context.bucket_name)
    store = S3Store(objects)

    def make() -> None:
        for event in create_bucket(aws, context, registry):
            store.emit(event)
            events.emit(event)

    key, holder = f"moorage/lease/{context.environment.name}.json", f"process {os.getpid()} on {socket.gethostname()}"
    return Backend(store, S3Lease(objects, key, holder, now=uptime, create_bucket=make))


def create_bucket(aws: AwsClient, context: SpecContext, registry: ResourceRegistry) -> list[Event]:
    """Make the artifact bucket of an Environment, if it isn't there; without it there can be no lease.

    Its steps are planned and done as always, and give the usual events. Any number of processes may do this at once:
    all of them make the same. Raises FailedError for a bucket that the Environment names and that doesn't exist, and
    what reading it raises.
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
    """Seconds that only grow, and go on while the machine is suspended, where the system can tell."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


def utc_now() -> str:
    """The time, as RFC 3339 has it."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
