"""Mistakes that a controller of this kind can have, each as another part in the place of the right one."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from itertools import count
from typing import Any, cast

from controller.aws import Aws
from controller.core.graph import Node, Observed, Target
from controller.core.plan import Action, Plan, Step
from controller.core.record import Record
from controller.core.status import Status, Waiting
from controller.core.values import Key
from controller.core.wanted import Wanted
from controller.errors import AnswerLostError
from controller.reconcile import Reconciler, Survey
from tests.reliability.cloud import Cloud, CloudApi, CloudJob, CloudService, Thing
from tests.reliability.house import Parts
from tests.reliability.killer import Journal, Killer


class JournalsAfter(Journal):
    """Writes down what was done, and never what is about to be."""

    def put(self, record: Record) -> None:
        if record.pending is None:
            super().put(record)


class ForgetsPending(Journal):
    """Reads its journal without what was under way."""

    def records(self, environment: str, owners: Collection[Key] | None = None) -> Collection[Record]:
        return [replace(record, pending=None) for record in super().records(environment, owners)]

    def record(self, id_: str) -> Record | None:
        found = super().record(id_)
        return replace(found, pending=None) if found else None


class WritesDownAsDone(Journal):
    """Writes down a call that is about to be made as if it had been."""

    def put(self, record: Record) -> None:
        if record.pending:
            record = replace(record, fields=record.pending, pending=None)
        super().put(record)


class ForgetsEdges(Journal):
    """Forgets what a thing was built on once it is made."""

    def put(self, record: Record) -> None:
        super().put(replace(record, edges=() if record.pending is None else record.edges))


class DropsTooEarly(Journal):
    """Forgets a thing before it is deleted."""

    def put(self, record: Record) -> None:
        if record.pending == {}:
            super().drop(record)
        else:
            super().put(record)


class BuffersWrites(Journal):
    """Keeps what is written in memory until a status is saved."""

    def __init__(self, killer: Killer) -> None:
        super().__init__(killer)
        self._safe, self._life = dict(self._records), 0

    def records(self, environment: str, owners: Collection[Key] | None = None) -> Collection[Record]:
        self._begin()
        return super().records(environment, owners)

    def record(self, id_: str) -> Record | None:
        self._begin()
        return super().record(id_)

    def _begin(self) -> None:
        if self._life != self._killer.crashes:
            self._records, self._life = dict(self._safe), self._killer.crashes

    def save(self, status: Status) -> None:
        super().save(status)
        self._safe = dict(self._records)

    def copy(self, killer: Killer) -> BuffersWrites:
        other = super().copy(killer)
        other._safe = dict(self._safe)
        return other


class RepeatsWrites(Cloud):
    """Sends a call again when its answer got lost."""

    def write(self, kind: str, operation: str, **params: Any) -> Any:
        try:
            return super().write(kind, operation, **params)
        except AnswerLostError:
            return super().write(kind, operation, **params)


class AdoptsNoOrphan(CloudApi):
    """Knows a thing by the id that it wrote down, and not by whose it is."""

    def found(self, aws: Aws, target: Target) -> list[dict[str, Any]]:
        return [thing for thing in super().found(aws, target) if thing["id"] == target.known.get("id")]

    def apply(self, aws: Aws, step: Step, seen: Observed | None) -> Observed:
        if seen is not None:
            known = Step(step.action, step.node, step.owner, step.changes)
            super()._retag(cast("Cloud", aws), known, seen, step.node.desired["tags"])
            return seen
        cloud = cast("Cloud", aws)
        made = cloud.write(self.service, "make", **step.node.identity, tags=step.node.desired["tags"])
        return Observed(step.node.desired, {"id": made, "status": ""})


class NamesAtRandom(CloudJob):
    """Gives a job another name in each life."""

    lives = count()

    def __init__(self, workshop: Any) -> None:
        super().__init__(workshop)
        self._life = next(self.lives)

    def expand(self, want: Wanted) -> list[Node]:
        return [replace(node, identity={"name": f"job {self._life}"}) for node in super().expand(want)]


class LeavesJobsRunning(CloudJob):
    """Lets a training go on that nobody wants any more."""

    superseded = "keep"


class TakesWaitingForGone(CloudService):
    """Doesn't wait until what it deletes is gone."""

    def delete(self, aws: Aws, target: Target) -> Waiting | None:
        super().delete(aws, target)
        return None


class DeletesByName(Reconciler):
    """Deletes in the order of names."""

    def survey(self, wants: Sequence[Wanted], *, gone: Collection[Key] = ()) -> Survey:
        survey = super().survey(wants, gone=gone)
        kept = [step for step in survey.plan.steps if step.action is not Action.DELETE]
        last = sorted((step for step in survey.plan.steps if step.action is Action.DELETE), key=lambda s: s.node.key)
        return replace(survey, plan=Plan((*kept, *last), survey.plan.refusals))


def _store(kind: type[Journal]) -> Parts:
    return Parts(store=kind)


def _type(kind: type[Thing]) -> Parts:
    return Parts().with_type(kind)


BUGS: Mapping[str, Parts] = {
    "journals after the call": _store(JournalsAfter),
    "forgets what was under way": _store(ForgetsPending),
    "writes down as done what is about to be": _store(WritesDownAsDone),
    "forgets edges": _store(ForgetsEdges),
    "deletes in the order of names": Parts(store=ForgetsEdges, reconciler=DeletesByName),
    "forgets before it deletes": _store(DropsTooEarly),
    "keeps its journal in memory": _store(BuffersWrites),
    "repeats a write": Parts(cloud=RepeatsWrites),
    "adopts no orphan": _type(AdoptsNoOrphan),
    "names at random": _type(NamesAtRandom),
    "leaves a superseded job running": _type(LeavesJobsRunning),
    "takes what is being deleted for gone": _type(TakesWaitingForGone),
}
