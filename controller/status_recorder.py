"""What is written down for people: how each spec stands after a pass, what happened on the way, and what is forgotten.

Verdicts become conditions in `core.status`, which is pure; here they are held against what was told before, and kept.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Literal

from controller.core.graph import Graph, Observed
from controller.core.history import update_history
from controller.core.plan import Step
from controller.core.spec_context import SpecContext
from controller.core.status import (
    Condition,
    Event,
    Held,
    Ready,
    ResourceState,
    Status,
    Verdict,
    Waiting,
    build_revision,
    derive_conditions,
)
from controller.core.values import Key, Value
from controller.plan_execution import PlanExecution
from controller.resources.base import ResourceRegistry
from controller.store.base import Store

# How many revisions of an Environment are remembered; a ModelService says it itself.
_ENVIRONMENT_HISTORY_LIMIT = 10


@dataclass(frozen=True)
class StatusRecorder:
    """Keeps statuses and events. `now` gives the time as RFC 3339 text; `tell` is called with each event as it happens."""

    registry: ResourceRegistry
    store: Store
    now: Callable[[], str]
    on_event: Callable[[Event], None]

    def derive_status(
        self, context: SpecContext, previous: Status | None, graph: Graph, seen: Mapping[Key, Observed]
    ) -> Status:
        """A spec's status as far as the spec and what is seen of it tell: without conditions and resources."""
        generation = (
            1 if previous is None else previous.observed_generation + (previous.spec_digest != context.spec_digest)
        )
        source = {"commit": context.inputs.commit, "author": context.inputs.author}
        facts: dict[str, Value] = {name: text for name, text in source.items() if text}
        for node in graph.nodes_of(context.owner):
            if node.key in seen:
                facts |= self.registry[node.key.kind].status_facts(seen[node.key])
        return Status(context.owner, generation, context.spec_digest, facts=facts)

    def record_status(self, context: SpecContext, execution: PlanExecution, source_error: str) -> Status:
        """Write down how a spec stands. `trouble` says why something newer than it can't be read."""
        before = self.store.get_status(context.owner)
        told = self.derive_status(context, before, execution.graph, execution.seen)
        mine = [node.key for node in execution.graph.nodes_of(context.owner)]
        aspects: dict[str, list[Verdict]] = {}
        for key in mine:
            aspects.setdefault(self.registry[key.kind].condition_type, []).append(execution.verdicts[key])
        aspects.setdefault("", []).extend(_spec_verdicts(context.owner, execution))
        conditions = derive_conditions(aspects, before, self.now(), told.observed_generation, source_error)
        status = replace(
            told, conditions=conditions, resources=tuple(_resource_state(key, execution) for key in sorted(mine))
        )
        kept = context.service.spec.policy.history if context.service else _ENVIRONMENT_HISTORY_LIMIT
        past = before.history if before else ()
        status = replace(status, history=update_history(past, build_revision(status, self.now()), kept))
        self._save_status(status, before)
        return status

    def record_removed_spec(self, owner: Key, execution: PlanExecution) -> tuple[Status, ...]:
        """How a removed spec stands, of which something can't be deleted."""
        refused, before = execution.failed_deletions(owner), self.store.get_status(owner)
        if not refused:
            return ()
        told = before or Status(owner, 1, "")
        status = replace(
            told, conditions=derive_conditions({"": refused}, before, self.now(), told.observed_generation)
        )
        self._save_status(status, before)
        return (status,)

    def stop_tracking(self, owner: Key) -> bool:
        """What a removed spec retains is nobody's business any more; once nothing else is left, its status goes too."""
        mine = self.store.list_records(owner.environment, {owner})
        if not all(record.retain for record in mine):
            return False
        for record in mine:
            self.store.delete_record(record)
            self._emit(Event(self.now(), owner, "Normal", "Retained", "stays, as policy.deletion says", record.key))
        self.store.delete_status(owner)
        return True

    def record_event(self, step: Step, kind: Literal["Normal", "Warning"], reason: str, message: str) -> None:
        """Tell of a step. What fails in the same way pass after pass is told each time, and kept once: events have a limit."""
        event = Event(self.now(), step.owner, kind, reason, message, step.node.key)
        if kind == "Warning" and self._is_repeated(event):
            self.on_event(event)
        else:
            self._emit(event)

    def _is_repeated(self, event: Event) -> bool:
        """Whether the last status says the same of the resource."""
        status = self.store.get_status(event.owner)
        states = status.resources if status else ()
        return any(
            (state.key, state.state, state.message) == (event.key, event.reason, event.message) for state in states
        )

    def _save_status(self, status: Status, previous: Status | None) -> None:
        """Write a status down, and tell what is new in it."""
        if status != previous:
            self._emit_transitions(previous, status)
            self.store.save_status(status)

    def _emit_transitions(self, previous: Status | None, status: Status) -> None:
        """An event for each condition that turned. What only repeats another one's news is left out."""
        for condition in status.conditions:
            if _is_news(condition, previous.find_condition(condition.type) if previous else None):
                worse = condition.type == "Degraded" and condition.status == "True"
                why = f": {condition.message}" if condition.message else ""
                message = f"{condition.type} is {condition.status}{why}"
                self._emit(Event(self.now(), status.owner, "Warning" if worse else "Normal", condition.reason, message))

    def _emit(self, event: Event) -> None:
        self.store.emit(event)
        self.on_event(event)


def _spec_verdicts(owner: Key, execution: PlanExecution) -> list[Verdict]:
    """The verdicts that concern a spec as a whole: what its policy holds, what is still to come, what can't be deleted."""
    steps, leave = execution.plan.for_owner(owner).steps, execution.spec_policies[owner]
    refused = execution.failed_deletions(owner)
    # What is too dear is told even where nothing is to be done.
    if leave.held_reason == "OverBudget" or (leave.held_reason and steps):
        return [Held(leave.held_reason, leave.held_message), *refused]
    if any(step.later for step in steps):
        return [Waiting("Later", "what follows from the candidate is still to come", 1), *refused]
    return refused


def _is_news(condition: Condition, earlier: Condition | None) -> bool:
    """Whether a condition says what nobody has said: Progressing and Stalled repeat Ready and Degraded, a blocked one its blocker."""
    if condition.type in ("Progressing", "Stalled") or condition.reason == "Blocked":
        return False
    if earlier is None:
        return condition.type != "Degraded" or condition.status == "True"
    if condition.type in ("Ready", "Degraded"):
        return earlier.status != condition.status
    return (earlier.status, earlier.reason) != (condition.status, condition.reason)


def _resource_state(key: Key, execution: PlanExecution) -> ResourceState:
    verdict = execution.verdicts[key]
    found = execution.seen[key].id if key in execution.seen else ""
    fine = isinstance(verdict, Ready) and verdict.reason != "Drifted"
    return ResourceState(key, found, "Ready" if fine else verdict.reason, verdict.message)
