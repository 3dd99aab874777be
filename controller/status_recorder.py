"""Record what people read of a pass: each spec's status, and the events.

`core.status` turns verdicts into conditions, without side effects; this module compares them with the stored status and
saves what is new.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

from controller.core.history import update_history
from controller.core.plan import Step
from controller.core.spec_context import SpecContext
from controller.core.status import (
    Condition,
    Event,
    EventSink,
    Held,
    Ready,
    ResourceState,
    Status,
    Verdict,
    Waiting,
    build_revision,
    derive_conditions,
)
from controller.core.values import Key
from controller.plan_execution import PlanExecution, SpecProgress
from controller.resources.base import ResourceRegistry
from controller.store.base import Store
from controller.survey import derive_status

# How many revisions of an Environment are kept; a ModelService declares its own number.
_ENVIRONMENT_HISTORY_LIMIT = 10


@dataclass(frozen=True)
class StatusRecorder:
    """Saves statuses and events.

    `now` returns the time as RFC 3339 text; `events` receives each event as it happens.
    """

    registry: ResourceRegistry
    store: Store
    now: Callable[[], str]
    events: EventSink

    def record_status(self, context: SpecContext, execution: PlanExecution, source_error: str) -> Status:
        """Save a spec's status and return it. `source_error` says why newer specs can't be read."""
        previous, progress = self.store.get_status(context.owner), execution.progress_of(context.owner)
        derived = derive_status(self.registry, context, previous, execution.survey.graph, progress.seen)
        keys = [node.key for node in execution.survey.graph.nodes_of(context.owner)]
        aspects: dict[str, list[Verdict]] = {}
        for key in keys:
            aspects.setdefault(self.registry[key.kind].condition_type, []).append(progress.verdicts[key])
        aspects.setdefault("", []).extend(_spec_verdicts(context.owner, execution))
        conditions = derive_conditions(aspects, previous, self.now(), derived.observed_generation, source_error)
        resources = tuple(_resource_state(key, progress) for key in sorted(keys))
        status = replace(derived, conditions=conditions, resources=resources)
        limit = context.service.spec.policy.history if context.service else _ENVIRONMENT_HISTORY_LIMIT
        history = previous.history if previous else ()
        status = replace(status, history=update_history(history, build_revision(status, self.now()), limit))
        self._save_status(status, previous)
        return status

    def record_removed_spec(self, owner: Key, execution: PlanExecution) -> tuple[Status, ...]:
        """Save and return the status of a removed spec whose objects can't be deleted; empty if nothing failed."""
        failed, previous = execution.failed_deletions(owner), self.store.get_status(owner)
        if not failed:
            return ()
        status = previous or Status(owner, 1, "")
        conditions = derive_conditions({"": failed}, previous, self.now(), status.observed_generation)
        status = replace(status, conditions=conditions)
        self._save_status(status, previous)
        return (status,)

    def stop_tracking(self, owner: Key) -> bool:
        """Stop tracking retained resources of a removed spec; delete the status when no other records remain.

        Returns whether the spec is forgotten. While other records remain, nothing changes.
        """
        records = self.store.list_records(owner.environment, {owner})
        if not all(record.retain for record in records):
            return False
        for record in records:
            self.store.delete_record(record)
            self._emit(Event(self.now(), owner, "Normal", "Retained", "stays, as policy.deletion says", record.key))
        self.store.delete_status(owner)
        return True

    def record_event(self, step: Step, kind: Literal["Normal", "Warning"], reason: str, message: str) -> None:
        """Record an event of a step.

        The same warning of pass after pass goes to `events` every time and to the store once: the store limits events.
        """
        event = Event(self.now(), step.owner, kind, reason, message, step.node.key)
        if kind == "Warning" and self._is_repeated(event):
            self.events.emit(event)
        else:
            self._emit(event)

    def _is_repeated(self, event: Event) -> bool:
        """Whether the last status has the same state and message for the resource."""
        status = self.store.get_status(event.owner)
        states = status.resources if status else ()
        return any(
            (state.key, state.state, state.message) == (event.key, event.reason, event.message) for state in states
        )

    def _save_status(self, status: Status, previous: Status | None) -> None:
        """Save a status that changed, after the events of its transitions."""
        if status != previous:
            self._emit_transitions(previous, status)
            self.store.save_status(status)

    def _emit_transitions(self, previous: Status | None, status: Status) -> None:
        """Emit an event for each condition that changed, except those that only repeat another one's change."""
        for condition in status.conditions:
            if _is_news(condition, previous.find_condition(condition.type) if previous else None):
                worse = condition.type == "Degraded" and condition.status == "True"
                why = f": {condition.message}" if condition.message else ""
                message = f"{condition.type} is {condition.status}{why}"
                self._emit(Event(self.now(), status.owner, "Warning" if worse else "Normal", condition.reason, message))

    def _emit(self, event: Event) -> None:
        self.store.emit(event)
        self.events.emit(event)


def _spec_verdicts(owner: Key, execution: PlanExecution) -> list[Verdict]:
    """Return the verdicts on a spec as a whole: what its policy holds, what comes later, what can't be deleted."""
    steps, policy = execution.survey.plan.for_owner(owner).steps, execution.policy_of(owner)
    failed = execution.failed_deletions(owner)
    # A spec over its budget is reported even if it has no steps.
    if policy.held_reason == "OverBudget" or (policy.held_reason and steps):
        return [Held(policy.held_reason, policy.held_message), *failed]
    if any(step.later for step in steps):
        return [Waiting("Later", "what follows from the candidate is still to come", 1), *failed]
    return failed


def _is_news(condition: Condition, earlier: Condition | None) -> bool:
    """Whether a condition's change deserves an event.

    Progressing and Stalled repeat Ready and Degraded; a blocked condition repeats its blocker's.
    """
    if condition.type in ("Progressing", "Stalled") or condition.reason == "Blocked":
        return False
    if earlier is None:
        return condition.type != "Degraded" or condition.status == "True"
    if condition.type in ("Ready", "Degraded"):
        return earlier.status != condition.status
    return (earlier.status, earlier.reason) != (condition.status, condition.reason)


def _resource_state(key: Key, progress: SpecProgress) -> ResourceState:
    verdict = progress.verdicts[key]
    found = progress.seen[key].id if key in progress.seen else ""
    is_ready = isinstance(verdict, Ready) and verdict.reason != "Drifted"
    return ResourceState(key, found, "Ready" if is_ready else verdict.reason, verdict.message)
