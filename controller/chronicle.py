"""What is written down for people: how each spec stands after a pass, what happened on the way, and what is forgotten.

Verdicts become conditions in `core.status`, which is pure; here they are held against what was told before, and kept.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Literal

from controller.core.graph import Graph, Observed
from controller.core.history import recorded
from controller.core.plan import Step
from controller.core.status import (
    Condition,
    Event,
    Held,
    Ready,
    ResourceState,
    Status,
    Verdict,
    Waiting,
    judge,
    revision_of,
)
from controller.core.values import Key, Value
from controller.core.wanted import Wanted
from controller.execution import Execution
from controller.resources.base import Registry
from controller.store.base import Store

# How many revisions of an Environment are remembered; a ModelService says it itself.
_HISTORY = 10


@dataclass(frozen=True)
class Chronicle:
    """Keeps statuses and events. `now` gives the time as RFC 3339 text; `tell` is called with each event as it happens."""

    registry: Registry
    store: Store
    now: Callable[[], str]
    tell: Callable[[Event], None]

    def facts(self, want: Wanted, before: Status | None, graph: Graph, seen: Mapping[Key, Observed]) -> Status:
        """A spec's status as far as the spec and what is seen of it tell: without conditions and resources."""
        generation = 1 if before is None else before.observed_generation + (before.spec_digest != want.spec_digest)
        source = {"commit": want.inputs.commit, "author": want.inputs.author}
        facts: dict[str, Value] = {name: text for name, text in source.items() if text}
        for node in graph.of(want.owner):
            if node.key in seen:
                facts |= self.registry[node.key.kind].facts(seen[node.key])
        return Status(want.owner, generation, want.spec_digest, facts=facts)

    def status(self, want: Wanted, work: Execution, trouble: str) -> Status:
        """Write down how a spec stands. `trouble` says why something newer than it can't be read."""
        before = self.store.status(want.owner)
        told = self.facts(want, before, work.graph, work.seen)
        mine = [node.key for node in work.graph.of(want.owner)]
        aspects: dict[str, list[Verdict]] = {}
        for key in mine:
            aspects.setdefault(self.registry[key.kind].condition, []).append(work.verdicts[key])
        aspects.setdefault("", []).extend(_of_all(want.owner, work))
        conditions = judge(aspects, before, self.now(), told.observed_generation, trouble)
        status = replace(told, conditions=conditions, resources=tuple(_state(key, work) for key in sorted(mine)))
        kept = want.service.spec.policy.history if want.service else _HISTORY
        past = before.history if before else ()
        status = replace(status, history=recorded(past, revision_of(status, self.now()), kept))
        self._keep(status, before)
        return status

    def remains(self, owner: Key, work: Execution) -> tuple[Status, ...]:
        """How a removed spec stands, of which something can't be deleted."""
        refused, before = work.undeletable(owner), self.store.status(owner)
        if not refused:
            return ()
        told = before or Status(owner, 1, "")
        status = replace(told, conditions=judge({"": refused}, before, self.now(), told.observed_generation))
        self._keep(status, before)
        return (status,)

    def release(self, owner: Key) -> bool:
        """What a removed spec retains is nobody's business any more; once nothing else is left, its status goes too."""
        mine = self.store.records(owner.environment, {owner})
        if not all(record.retain for record in mine):
            return False
        for record in mine:
            self.store.drop(record)
            self._tell(Event(self.now(), owner, "Normal", "Retained", "stays, as policy.deletion says", record.key))
        self.store.forget(owner)
        return True

    def event(self, step: Step, kind: Literal["Normal", "Warning"], reason: str, message: str) -> None:
        """Tell of a step. What fails in the same way pass after pass is told each time, and kept once: events have a limit."""
        event = Event(self.now(), step.owner, kind, reason, message, step.node.key)
        if kind == "Warning" and self._stands(event):
            self.tell(event)
        else:
            self._tell(event)

    def _stands(self, event: Event) -> bool:
        """Whether the last status says the same of the resource."""
        status = self.store.status(event.owner)
        states = status.resources if status else ()
        return any(
            (state.key, state.state, state.message) == (event.key, event.reason, event.message) for state in states
        )

    def _keep(self, status: Status, before: Status | None) -> None:
        """Write a status down, and tell what is new in it."""
        if status != before:
            self._transitions(before, status)
            self.store.save(status)

    def _transitions(self, before: Status | None, status: Status) -> None:
        """An event for each condition that turned. What only repeats another one's news is left out."""
        for condition in status.conditions:
            if _is_news(condition, before.condition(condition.type) if before else None):
                worse = condition.type == "Degraded" and condition.status == "True"
                why = f": {condition.message}" if condition.message else ""
                message = f"{condition.type} is {condition.status}{why}"
                self._tell(Event(self.now(), status.owner, "Warning" if worse else "Normal", condition.reason, message))

    def _tell(self, event: Event) -> None:
        self.store.emit(event)
        self.tell(event)


def _of_all(owner: Key, work: Execution) -> list[Verdict]:
    """The verdicts that concern a spec as a whole: what its policy holds, what is still to come, what can't be deleted."""
    steps, leave = work.plan.of(owner).steps, work.leaves[owner]
    refused = work.undeletable(owner)
    # What is too dear is told even where nothing is to be done.
    if leave.held == "OverBudget" or (leave.held and steps):
        return [Held(leave.held, leave.why), *refused]
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


def _state(key: Key, work: Execution) -> ResourceState:
    verdict = work.verdicts[key]
    found = work.seen[key].id if key in work.seen else ""
    fine = isinstance(verdict, Ready) and verdict.reason != "Drifted"
    return ResourceState(key, found, "Ready" if fine else verdict.reason, verdict.message)
