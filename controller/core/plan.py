"""The parts of a plan: steps, refusals, and the input that `planner.py` makes them from. Pure data."""

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
    """What a step does.

    `revise` creates a sibling of a revisioned kind; `replace` creates the new object before it deletes the old one.
    """

    CREATE = "create"
    UPDATE = "update"
    REVISE = "revise"
    REPLACE = "replace"
    ADOPT = "adopt"
    DELETE = "delete"

    @property
    def event_reason(self) -> str:
        """The reason of the step's event, such as `Created` or `Adopted`."""
        return f"{self.value.removesuffix('e')}ed".capitalize()


# The policy that holds a step; empty if none does.
HoldReason = Literal["", "Suspended", "Drifted", "OverBudget"]
# Why an object is created that existed at the last observation.
MISSING_FROM_AWS = "it is gone from AWS"


@dataclass(frozen=True)
class EffectivePolicy:
    """What a spec's policy allows.

    `retained_categories` outlive the spec. `held_reason` holds every step, and `held_message` explains why. Without
    `correct_drift`, changes by others are reported and left.
    """

    retained_categories: frozenset[str] = frozenset()
    held_reason: Literal["", "Suspended", "OverBudget"] = ""
    held_message: str = ""
    correct_drift: bool = True


class ResourceType(Protocol):
    """What the planner must know of a resource type; `controller.resources.base` explains each field."""

    policy: FieldPolicy
    read_only: bool
    consequence: str
    superseded_policy: Literal["delete", "keep", "collect", "stop"]
    revision_output: str
    reference_outputs: frozenset[str]
    retention_category: str


@dataclass(frozen=True)
class Step:
    """One change of one object. A `later` step follows from the result of a training, and waits for it.

    `forces` are the paths of the immutable fields whose change makes another object necessary. `held` names the policy
    that holds the step. `collects_history` marks the deletion of an object that served once and that nothing depends
    on: it waits until the spec has settled.
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
        """The step in one line: its consequence or its changes; a creation shows only its reason."""
        if self.action in (Action.CREATE, Action.REPLACE):
            return self.why
        paths = [change.path for change in self.changes]
        more = f" and {len(paths) - 4} more" if len(paths) > 4 else ""
        return self.why or ", ".join(paths[:4]) + more

    @property
    def displayed_changes(self) -> tuple[Change, ...]:
        """The changes; for a deletion the identity, so that a reader sees which object is deleted."""
        if self.action is not Action.DELETE:
            return self.changes
        return tuple(Change(name, value, ABSENT) for name, value in sorted(self.node.identity.items()))


@dataclass(frozen=True)
class Refusal:
    """A node that must not be changed as things are, with the message and the remedy."""

    node: Node
    owner: Key
    message: str
    hint: str


@dataclass(frozen=True)
class Plan:
    """What a pass would do, in order. It is data: it can be printed, written as JSON, and has a digest."""

    steps: tuple[Step, ...] = ()
    refusals: tuple[Refusal, ...] = ()

    @property
    def digest(self) -> str:
        """The digest of the plan; equal plans have equal digests."""
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
        """Return the part that belongs to one spec."""
        return Plan(tuple(self._steps_by_owner.get(owner, ())), tuple(r for r in self.refusals if r.owner == owner))

    @cached_property
    def _steps_by_owner(self) -> Mapping[Key, Sequence[Step]]:
        found: dict[Key, list[Step]] = {}
        for step in self.steps:
            found.setdefault(step.owner, []).append(step)
        return found


@dataclass(frozen=True)
class PlanningInput:
    """Everything that a plan is made from.

    `adopting_specs` may take over existing objects; `removed_specs` are to be pruned; `unreadable` nodes could not be
    observed. `spec_policies` has what each spec's policy allows, `retained_histories` the history that it keeps.
    Without a retained history nothing is collected.
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
        """Return what a spec's policy allows."""
        return self.spec_policies.get(owner, EffectivePolicy())

    @cached_property
    def declared_specs(self) -> Collection[Key]:
        """The specs that nodes belong to."""
        return frozenset(self.graph.owners.values())


def find_record(records: Iterable[Record], node: Node) -> Record | None:
    """Return the record of a node whose identity is resolved."""
    wanted = digest(node.key, node.identity)
    return next((record for record in find_records(records, node.key) if record.id == wanted), None)


def find_records(records: Iterable[Record], key: Key) -> Sequence[Record]:
    """Return the records of a key, oldest first."""
    return (
        records.for_key(key)
        if isinstance(records, RecordIndex)
        else [record for record in records if record.key == key]
    )
