"""Delete one ModelService on request, as pruning does: in reverse order, without foreign and retained objects."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from controller.core.plan import Plan
from controller.core.record import Record
from controller.core.values import Key
from controller.engine.run_once import RunOptions, run_once
from controller.environments.cancellation import CancellationToken
from controller.environments.factory import EnvironmentFactory, OpenEnvironment
from controller.errors import FailedError, NotFoundError
from controller.sources.snapshots import Snapshot
from controller.spec.loaded import Specs


@dataclass(frozen=True)
class DeletionPreview:
    """The steps that delete a spec, in order, and the records of the objects to retain."""

    plan: Plan
    retained: Sequence[Record]


def preview_deletion(environment: OpenEnvironment, owner: Key) -> DeletionPreview:
    """Plan the deletion of a spec. Raises NotFoundError when the store has neither a record nor a status of it."""
    plan = environment.reconciler.survey(environment.contexts[:1], removed_specs=[owner]).plan.for_owner(owner)
    records = [record for record in environment.store.list_records(environment.name) if record.owner == owner]
    if not records and environment.store.get_status(owner) is None:
        raise NotFoundError(
            f"environment {environment.name} has no record of {owner.name}",
            hint=f"moorage get --environment {environment.name} lists the specs with a status",
        )
    return DeletionPreview(plan, [record for record in records if record.retain])


def delete_spec(
    factory: EnvironmentFactory,
    snapshot: Snapshot,
    owner: Key,
    cancellation: CancellationToken,
    *,
    timeout: float,
    pace: float = 1.0,
) -> None:
    """Delete the objects of a spec, and wait until AWS has deleted them. Other specs are not read.

    Raises LeaseHeldError when another controller holds the lease, DeadlineError after `timeout` seconds (AWS continues
    what was started), FailedError when an object can't be deleted. `pace` multiplies all waits.
    """
    environments = {name: one for name, one in snapshot.specs.environments.items() if name == owner.environment}
    without_services = Snapshot(Specs(environments, {}), {}, snapshot.commit)
    options = RunOptions(timeout=timeout, pace=pace, removed_specs=[owner])
    run_once(factory, without_services, cancellation, options)
    store = factory.open_environment(without_services, owner.environment).store
    left = [record for record in store.list_records(owner.environment) if record.owner == owner and not record.retain]
    if left:
        names = ", ".join(sorted(str(record.key) for record in left))
        raise FailedError(
            f"not every object of {owner.name} could be deleted",
            why=f"left: {names}",
            hint="moorage events shows the errors",
        )
