"""Deleting one ModelService because a person says so, as pruning would: in reverse order, nothing foreign, nothing retained."""

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
    """What deleting a spec comes to: the steps, in order, and what stays."""

    plan: Plan
    retained: Sequence[Record]


def preview_deletion(environment: OpenEnvironment, owner: Key) -> DeletionPreview:
    """What deleting a spec would do. Raises NotFoundError when nothing of it was ever recorded."""
    plan = environment.reconciler.survey(environment.contexts[:1], removed_specs=[owner]).plan.for_owner(owner)
    mine = [record for record in environment.store.list_records(environment.name) if record.owner == owner]
    if not mine and environment.store.get_status(owner) is None:
        raise NotFoundError(
            f"nothing is known of {owner.name} in environment {environment.name}",
            hint="moorage get shows what is known",
        )
    return DeletionPreview(plan, [record for record in mine if record.retain])


def delete_spec(
    factory: EnvironmentFactory,
    snapshot: Snapshot,
    owner: Key,
    cancellation: CancellationToken,
    *,
    timeout: float,
    pace: float = 1.0,
) -> None:
    """Delete what belongs to a spec, and wait until AWS has. Other specs are not looked at.

    Raises LeaseHeldError, DeadlineError (what was started goes on), FailedError when something can't be deleted.
    """
    environments = {name: one for name, one in snapshot.specs.environments.items() if name == owner.environment}
    alone = Snapshot(Specs(environments, {}), {}, snapshot.commit)
    run_once(factory, alone, cancellation, RunOptions(timeout=timeout, pace=pace, removed_specs=[owner]))
    store = factory.open_environment(alone, owner.environment).store
    left = [record for record in store.list_records(owner.environment) if record.owner == owner and not record.retain]
    if left:
        names = ", ".join(sorted(str(record.key) for record in left))
        raise FailedError("not everything could be deleted", why=f"left: {names}", hint="moorage events tells why")
