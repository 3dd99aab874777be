"""What a plan is: steps, refusals, and the situation that they are made from. `planner.py` makes them. Pure data."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from typing import Literal, Protocol

from controller.core.diff import Change
from controller.core.graph import Graph, Node, Observed
from controller.core.policy import FieldPolicy
from controller.core.reach import Closure
from controller.core.record import Record, Records
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
    def past(self) -> str:
        """The reason of the event that tells of it: `Created`, `Adopted`."""
        return f"{self.value.removesuffix('e')}ed".capitalize()


# Why something is made that was there when it was looked at last.
GONE = "it is gone from AWS"


@dataclass(frozen=True)
class Leave:
    """What a spec's policy allows.

    `retained` are the categories that outlive the spec; `held` is the reason for which everything is left as it is, and
    `why` says it in words; without `correct`, what others changed is reported and left.
    """

    retained: frozenset[str] = frozenset()
    held: Literal["", "Suspended", "OverBudget"] = ""
    why: str = ""
    correct: bool = True


class Type(Protocol):
    """What planning must know of a resource type; `controller.resources.base` says what each means."""

    policy: FieldPolicy
    read_only: bool
    consequence: str
    superseded: Literal["delete", "keep", "collect", "stop"]
    serial: str
    handles: frozenset[str]
    retain: str


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
    held: Literal["", "Suspended", "Drifted", "OverBudget"] = ""
    history: bool = False

    @property
    def told(self) -> tuple[Change, ...]:
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
                [step.action, step.node.key, [[c.path, c.old, c.new] for c in step.told], step.later, step.held]
                for step in self.steps
            ],
            [[refusal.node.key, refusal.message] for refusal in self.refusals],
        )

    def of(self, owner: Key) -> Plan:
        """The part that belongs to one spec."""
        return Plan(tuple(self._steps.get(owner, ())), tuple(r for r in self.refusals if r.owner == owner))

    @cached_property
    def _steps(self) -> Mapping[Key, Sequence[Step]]:
        found: dict[Key, list[Step]] = {}
        for step in self.steps:
            found.setdefault(step.owner, []).append(step)
        return found


@dataclass(frozen=True)
class Situation:
    """All that a plan is made from.

    `adopters` are the specs that may take over what exists; `gone` the specs that were removed and are to be pruned;
    `unreadable` the nodes that nobody could look at; `leaves` what each spec's policy allows, `closures` what is kept of
    its history. Without a closure nothing is collected.
    """

    graph: Graph
    types: Mapping[str, Type]
    seen: Mapping[Key, Observed]
    records: Collection[Record]
    adopters: Collection[Key] = ()
    gone: Collection[Key] = ()
    unreadable: Collection[Key] = ()
    leaves: Mapping[Key, Leave] = field(default_factory=dict)
    closures: Mapping[Key, Closure] = field(default_factory=dict)

    def leave(self, owner: Key) -> Leave:
        """What a spec's policy allows."""
        return self.leaves.get(owner, Leave())

    @cached_property
    def declared(self) -> Collection[Key]:
        """The specs that nodes belong to."""
        return frozenset(self.graph.owners.values())


def record_of(records: Iterable[Record], node: Node) -> Record | None:
    """The record of a node whose identity is resolved."""
    wanted = digest(node.key, node.identity)
    return next((record for record in among(records, node.key) if record.id == wanted), None)


def among(records: Iterable[Record], key: Key) -> Sequence[Record]:
    """The records of a key, oldest first."""
    return records.of(key) if isinstance(records, Records) else [record for record in records if record.key == key]
