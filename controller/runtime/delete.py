"""Deleting one ModelService because a person says so, as pruning would: in reverse order, nothing foreign, nothing retained."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from controller.core.plan import Plan
from controller.core.record import Record
from controller.core.values import Key
from controller.errors import FailedError, NotFoundError
from controller.runtime.compose import House, Site
from controller.runtime.halt import Halt
from controller.runtime.prepare import Snapshot
from controller.runtime.settle import run_once
from controller.spec.loaded import Specs


@dataclass(frozen=True)
class Deletion:
    """What deleting a spec comes to: the steps, in order, and what stays."""

    plan: Plan
    stays: Sequence[Record]


def look(site: Site, owner: Key) -> Deletion:
    """What deleting a spec would do. Raises NotFoundError when nothing of it was ever recorded."""
    plan = site.reconciler.survey(site.wants[:1], removed_specs=[owner]).plan.for_owner(owner)
    mine = [record for record in site.store.list_records(site.environment) if record.owner == owner]
    if not mine and site.store.get_status(owner) is None:
        raise NotFoundError(
            f"nothing is known of {owner.name} in environment {site.environment}",
            hint="moorage get shows what is known",
        )
    return Deletion(plan, [record for record in mine if record.retain])


def delete(house: House, snapshot: Snapshot, owner: Key, halt: Halt, *, timeout: float, pace: float = 1.0) -> None:
    """Delete what belongs to a spec, and wait until AWS has. Other specs are not looked at.

    Raises LeaseHeldError, DeadlineError (what was started goes on), FailedError when something can't be deleted.
    """
    environments = {name: one for name, one in snapshot.specs.environments.items() if name == owner.environment}
    alone = Snapshot(Specs(environments, {}), {}, snapshot.commit)
    run_once(house.site, alone, halt, gone=[owner], timeout=timeout, pace=pace, leases=lambda: house.leases)
    store = house.site(alone, owner.environment).store
    left = [record for record in store.list_records(owner.environment) if record.owner == owner and not record.retain]
    if left:
        names = ", ".join(sorted(str(record.key) for record in left))
        raise FailedError("not everything could be deleted", why=f"left: {names}", hint="moorage events tells why")
