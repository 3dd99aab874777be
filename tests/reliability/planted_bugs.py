"""Mistakes that a controller of this kind can have, each as another part in the place of the right one."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from itertools import count
from typing import Any, cast

from controller.aws import AwsClient
from controller.core.graph import Node, Observed, Target
from controller.core.plan import Action, Plan, Step
from controller.core.record import Record
from controller.core.spec_context import SpecContext
from controller.core.status import Status, Waiting
from controller.core.values import Key
from controller.errors import AnswerLostError
from controller.reconcile import Reconciler
from controller.survey import Survey
from tests.reliability.crash_injection import CrashInjector, ObservedMemoryStore
from tests.reliability.harness import ControllerParts
from tests.reliability.simulated_cloud import (
    SimulatedApi,
    SimulatedCloud,
    SimulatedResource,
    SimulatedService,
    SimulatedTrainingJob,
)


class JournalsAfterTheCall(ObservedMemoryStore):
    """Writes down what was done, and never what is about to be."""

    def put_record(self, record: Record) -> None:
        if record.pending is None:
            super().put_record(record)


class ForgetsPending(ObservedMemoryStore):
    """Reads its journal without what was under way."""

    def list_records(self, environment: str, owners: Collection[Key] | None = None) -> Collection[Record]:
        return [replace(record, pending=None) for record in super().list_records(environment, owners)]

    def get_record(self, id_: str) -> Record | None:
        found = super().get_record(id_)
        return replace(found, pending=None) if found else None


class JournalsPendingAsDone(ObservedMemoryStore):
    """Writes down a call that is about to be made as if it had been."""

    def put_record(self, record: Record) -> None:
        if record.pending:
            record = replace(record, fields=record.pending, pending=None)
        super().put_record(record)


class ForgetsEdges(ObservedMemoryStore):
    """Forgets what a thing was built on once it is made."""

    def put_record(self, record: Record) -> None:
        super().put_record(replace(record, edges=() if record.pending is None else record.edges))


class DropsTooEarly(ObservedMemoryStore):
    """Forgets a thing before it is deleted."""

    def put_record(self, record: Record) -> None:
        if record.pending == {}:
            super().delete_record(record)
        else:
            super().put_record(record)


class BuffersWrites(ObservedMemoryStore):
    """Keeps what is written in memory until a status is saved."""

    def __init__(self, crash_injector: CrashInjector) -> None:
        super().__init__(crash_injector)
        self._safe, self._life = dict(self._records), 0

    def list_records(self, environment: str, owners: Collection[Key] | None = None) -> Collection[Record]:
        self._begin()
        return super().list_records(environment, owners)

    def get_record(self, id_: str) -> Record | None:
        self._begin()
        return super().get_record(id_)

    def _begin(self) -> None:
        if self._life != self._killer.crashes:
            self._records, self._life = dict(self._safe), self._killer.crashes

    def save_status(self, status: Status) -> None:
        super().save_status(status)
        self._safe = dict(self._records)

    def copy(self, crash_injector: CrashInjector) -> BuffersWrites:
        other = super().copy(crash_injector)
        other._safe = dict(self._safe)
        return other


class RepeatsWrites(SimulatedCloud):
    """Sends a call again when its answer got lost."""

    def write(self, kind: str, operation: str, **params: Any) -> Any:
        try:
            return super().write(kind, operation, **params)
        except AnswerLostError:
            return super().write(kind, operation, **params)


class NeverAdoptsOrphans(SimulatedApi):
    """Knows a thing by the id that it wrote down, and not by whose it is."""

    def found(self, aws: AwsClient, target: Target) -> list[dict[str, Any]]:
        return [thing for thing in super().found(aws, target) if thing["id"] == target.known_outputs.get("id")]

    def apply(self, aws: AwsClient, step: Step, seen: Observed | None) -> Observed:
        if seen is not None:
            known = Step(step.action, step.node, step.owner, step.changes)
            super()._retag(cast("SimulatedCloud", aws), known, seen, step.node.desired["tags"])
            return seen
        cloud = cast("SimulatedCloud", aws)
        made = cloud.write(self.service, "make", **step.node.identity, tags=step.node.desired["tags"])
        return Observed(step.node.desired, {"id": made, "status": ""})


class UsesRandomNames(SimulatedTrainingJob):
    """Gives a job another name in each life."""

    lives = count()

    def __init__(self, workshop: Any) -> None:
        super().__init__(workshop)
        self._life = next(self.lives)

    def expand(self, context: SpecContext) -> list[Node]:
        return [replace(node, identity={"name": f"job {self._life}"}) for node in super().expand(context)]


class LeavesJobsRunning(SimulatedTrainingJob):
    """Lets a training go on that nobody wants any more."""

    superseded_policy = "keep"


class TreatsWaitingAsDeleted(SimulatedService):
    """Doesn't wait until what it deletes is gone."""

    def delete(self, aws: AwsClient, target: Target) -> Waiting | None:
        super().delete(aws, target)
        return None


class DeletesInNameOrder(Reconciler):
    """Deletes in the order of names."""

    def survey(self, contexts: Sequence[SpecContext], *, removed_specs: Collection[Key] = ()) -> Survey:
        survey = super().survey(contexts, removed_specs=removed_specs)
        kept = [step for step in survey.plan.steps if step.action is not Action.DELETE]
        last = sorted((step for step in survey.plan.steps if step.action is Action.DELETE), key=lambda s: s.node.key)
        return replace(survey, plan=Plan((*kept, *last), survey.plan.refusals))


def with_store(kind: type[ObservedMemoryStore]) -> ControllerParts:
    return ControllerParts(store=kind)


def with_resource_type(kind: type[SimulatedResource]) -> ControllerParts:
    return ControllerParts().with_type(kind)


PLANTED_BUGS: Mapping[str, ControllerParts] = {
    "journals after the call": with_store(JournalsAfterTheCall),
    "forgets what was under way": with_store(ForgetsPending),
    "writes down as done what is about to be": with_store(JournalsPendingAsDone),
    "forgets edges": with_store(ForgetsEdges),
    "deletes in the order of names": ControllerParts(store=ForgetsEdges, reconciler=DeletesInNameOrder),
    "forgets before it deletes": with_store(DropsTooEarly),
    "keeps its journal in memory": with_store(BuffersWrites),
    "repeats a write": ControllerParts(cloud=RepeatsWrites),
    "adopts no orphan": with_resource_type(NeverAdoptsOrphans),
    "names at random": with_resource_type(UsesRandomNames),
    "leaves a superseded job running": with_resource_type(LeavesJobsRunning),
    "takes what is being deleted for gone": with_resource_type(TreatsWaitingAsDeleted),
}
