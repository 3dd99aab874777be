"""What a plan is: steps, refusals, and the situation that they are made from. `planner.py` makes them. Pure data."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from typing import Literal, Protocol

from controller.core.diff import Change
from controller.core.field_policy import FieldPolicy
from controller.core.graph import Graph, Node, Observed
from controller.core.reachability import RetainedHistory
from controller.core.record import Record, RecordIndex
from controller.core.values import ABSENT, Key, digest


class Action(StrEnum):
    """What a step does. `revise` makes a sibling of a revisioned kind; `replace` makes the new before the old goes."""

    CREATE = "create"
    UPDATE = "update"
    REVISE = "revise"
    REPLACE = "replace"
    ADOPT = "adopt"
    DELETE = "delete"

    @property
    def event_reason(self) -> str:
        """The reason of the event that tells of it: `Created`, `Adopted`."""
        return f"{self.value.removesuffix('e')}ed".capitalize()


# The policy that keeps a step from being executed; empty for none.
HoldReason = Literal["", "Suspended", "Drifted", "OverBudget"]
# Why something is made that was there when it was looked at last.
MISSING_FROM_AWS = "it is gone from AWS"


@dataclass(frozen=True)
class EffectivePolicy:
    """What a spec's policy allows.

    `retained` are the categories that outlive the spec; `held` is the reason for which everything is left as it is, and
    `why` says it in words; without `correct`, what others changed is reported and left.
    """

    retained_categories: frozenset[str] = frozenset()
    held_reason: Literal["", "Suspended", "OverBudget"] = ""
    held_message: str = ""
    correct_drift: bool = True


class ResourceType(Protocol):
    """What planning must know of a resource type; `controller.resources.base` says what each means."""

    policy: FieldPolicy
    read_only: bool
    consequence: str
    superseded_policy: Literal["delete", "keep", "collect", "stop"]
    revision_output: str
    reference_outputs: frozenset[str]
    retention_category: str


@dataclass(frozen=True)
class Step:
    """One thing to do. `later` steps follow from what training will bring, and wait for it.

    `forces` are the paths of the changes that can't be made in place, where that is why another object is made;
    `held` says which policy keeps the step from being done; `history` that what is deleted served once and is in nobody's
    way, so that it goes when its spec is at rest.
    """

    action: Action
    node: Node
    owner: Key
    changes: tuple[Change, ...] = ()
    why: str = ""
    later: bool = False
    forces: tuple[str, ...] = ()
    held: HoldReason = ""
    collects_history: bool = False

    @property
    def summary(self) -> str:
        """The step in one line: its consequence or its changes; a creation shows its reason alone."""
        if self.action in (Action.CREATE, Action.REPLACE):
            return self.why
        paths = [change.path for change in self.changes]
        more = f" and {len(paths) - 4} more" if len(paths) > 4 else ""
        return self.why or ", ".join(paths[:4]) + more

    @property
    def displayed_changes(self) -> tuple[Change, ...]:
        """The changes; of a deletion, what finds the object, so that it is known which one goes."""
        if self.action is not Action.DELETE:
            return self.changes
        return tuple(Change(name, value, ABSENT) for name, value in sorted(self.node.identity.items()))


@dataclass(frozen=True)
class Refusal:
    """A node that must not be touched as things are."""

    node: Node
    owner: Key
    message: str
    hint: str


@dataclass(frozen=True)
class Plan:
    """What a pass would do, in order. Data: it prints, it is JSON, it has a digest."""

    steps: tuple[Step, ...] = ()
    refusals: tuple[Refusal, ...] = ()

    @property
    def digest(self) -> str:
        """Equal plans have equal digests."""
        return digest(
            [
                [
                    step.action,
                    step.node.key,
                    [[c.path, c.old, c.new] for c in step.displayed_changes],
                    step.later,
                    step.held,
                ]
                for step in self.steps
            ],
            [[refusal.node.key, refusal.message] for refusal in self.refusals],
        )

    def for_owner(self, owner: Key) -> Plan:
        """The part that belongs to one spec."""
        return Plan(tuple(self._steps_by_owner.get(owner, ())), tuple(r for r in self.refusals if r.owner == owner))

    @cached_property
    def _steps_by_owner(self) -> Mapping[Key, Sequence[Step]]:
        found: dict[Key, list[Step]] = {}
        for step in self.steps:
            found.setdefault(step.owner, []).append(step)
        return found


@dataclass(frozen=True)
class PlanningInput:
    """All that a plan is made from.

    `adopters` are the specs that may take over what exists; `gone` the specs that were removed and are to be pruned;
    `unreadable` the nodes that nobody could look at; `leaves` what each spec's policy allows, `closures` what is kept of
    its history. Without a closure nothing is collected.
    """

    graph: Graph
    resource_types: Mapping[str, ResourceType]
    seen: Mapping[Key, Observed]
    records: Collection[Record]
    adopting_specs: Collection[Key] = ()
    removed_specs: Collection[Key] = ()
    unreadable: Collection[Key] = ()
    spec_policies: Mapping[Key, EffectivePolicy] = field(default_factory=dict)
    retained_histories: Mapping[Key, RetainedHistory] = field(default_factory=dict)

    def policy_for(self, owner: Key) -> EffectivePolicy:
        """What a spec's policy allows."""
        return self.spec_policies.get(owner, EffectivePolicy())

    @cached_property
    def declared_specs(self) -> Collection[Key]:
        """The specs that nodes belong to."""
        return frozenset(self.graph.owners.values())


def find_record(records: Iterable[Record], node: Node) -> Record | None:
    """The record of a node whose identity is resolved."""
    wanted = digest(node.key, node.identity)
    return next((record for record in find_records(records, node.key) if record.id == wanted), None)


def find_records(records: Iterable[Record], key: Key) -> Sequence[Record]:
    """The records of a key, oldest first."""
    return (
        records.for_key(key)
        if isinstance(records, RecordIndex)
        else [record for record in records if record.key == key]
    )
