"""The graph of what should be: nodes, the edges their values hold, and the order these give."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from graphlib import TopologicalSorter

from controller.core.values import Key, Ref, Value, iter_refs, resolve

_NONE: frozenset[Key] = frozenset()


@dataclass(frozen=True)
class Node:
    """One AWS object as it should be.

    `identity` finds it (literals, and Refs to parents); `desired` is what we want of it; `reads` are further nodes
    whose state it looks at without taking a value from them. `named` is the field of the spec that names it by what AWS
    calls it (`spec.api.id`): such an object is there already and is never made.
    """

    key: Key
    identity: Mapping[str, Value]
    desired: Mapping[str, Value] = field(default_factory=dict)
    reads: tuple[Key, ...] = ()
    reference_field: str = ""

    @property
    def is_external(self) -> bool:
        """Whether it is used as it is: somebody else's, of which nothing is wanted. It is never written, nor recorded."""
        return bool(self.reference_field) and not self.desired

    @property
    def missing_message(self) -> tuple[str, str]:
        """What to say of a named one that isn't there, and what to do: `there is none with family churn, revision 7`."""
        plain = ((name, value) for name, value in self.identity.items() if isinstance(value, str | int))
        called = ", ".join(f"{name} {value}" for name, value in plain)
        return f"there is none with {called}", f"correct {self.reference_field}, or leave it out"

    @cached_property
    def parents(self) -> frozenset[Key]:
        """The nodes without which this one can't be found."""
        return frozenset(ref.key for ref in iter_refs(self.identity)) or _NONE

    @cached_property
    def edges(self) -> frozenset[Key]:
        """Every node that must come before this one."""
        return frozenset(ref.key for ref in iter_refs([self.identity, self.desired])) | frozenset(self.reads)

    def resolve(self, lookup: Callable[[Ref], Value]) -> Node:
        """This node with values in the place of Refs; what it is built on stays in `reads`."""
        identity, desired = resolve(self.identity, lookup), resolve(self.desired, lookup)
        return Node(self.key, identity, desired, tuple(sorted(self.edges)), self.reference_field)


@dataclass(frozen=True)
class Target:
    """Where to look: an identity without Refs, and what the record says, which is only a hint: outputs and applied fields."""

    key: Key
    identity: Mapping[str, Value]
    known_outputs: Mapping[str, Value] = field(default_factory=dict)
    applied_fields: Mapping[str, Value] = field(default_factory=dict)


@dataclass(frozen=True)
class Observed:
    """What is there: `fields` in the shape of `desired`, `outputs` for those that refer to it."""

    fields: Mapping[str, Value] = field(default_factory=dict)
    outputs: Mapping[str, Value] = field(default_factory=dict)

    @property
    def id(self) -> str:
        """The name or ARN that AWS knows it by; nothing where it has none."""
        return next((str(self.outputs[name]) for name in ("arn", "id", "name", "url") if name in self.outputs), "")


@dataclass(frozen=True)
class Graph:
    """All nodes of a pass, and which spec each belongs to."""

    nodes: Mapping[Key, Node]
    owners: Mapping[Key, Key]

    @classmethod
    def build(cls, nodes_by_owner: Iterable[tuple[Key, Iterable[Node]]]) -> Graph:
        """Collect the nodes of each owner.

        Raises ValueError when two nodes share a key or a Ref points nowhere: both are mistakes of a resource type.
        """
        nodes: dict[Key, Node] = {}
        owners: dict[Key, Key] = {}
        for owner, members in nodes_by_owner:
            for node in members:
                if node.key in nodes:
                    raise ValueError(f"two nodes are named {node.key}")
                nodes[node.key], owners[node.key] = node, owner
        for node in nodes.values():
            for edge in node.edges:
                if edge not in nodes:
                    raise ValueError(f"{node.key} refers to {edge}, which nothing declares")
        return cls(nodes, owners)

    def topological_order(self) -> list[Node]:
        """The nodes, each after all that it refers to; equal graphs give equal orders."""
        return list(self._topological_order)

    def nodes_of(self, owner: Key) -> Sequence[Node]:
        """One spec's nodes, in order."""
        return self._nodes_by_owner.get(owner, ())

    @cached_property
    def _topological_order(self) -> Sequence[Node]:
        sorter = TopologicalSorter({key: sorted(node.edges) for key, node in sorted(self.nodes.items())})
        return [self.nodes[key] for key in sorter.static_order()]

    @cached_property
    def _nodes_by_owner(self) -> Mapping[Key, Sequence[Node]]:
        found: dict[Key, list[Node]] = {}
        for node in self._topological_order:
            found.setdefault(self.owners[node.key], []).append(node)
        return found

    def waves(self) -> list[list[Node]]:
        """The nodes in groups that can be observed together: each wave's parents are in earlier waves."""
        depth: dict[Key, int] = {}
        for node in self._sorted_by_parents():
            depth[node.key] = 1 + max((depth[parent] for parent in node.parents), default=-1)
        waves: list[list[Node]] = [[] for _ in range(1 + max(depth.values(), default=-1))]
        for key in sorted(depth):
            waves[depth[key]].append(self.nodes[key])
        return waves

    def _sorted_by_parents(self) -> list[Node]:
        sorter = TopologicalSorter({key: sorted(node.parents) for key, node in sorted(self.nodes.items())})
        return [self.nodes[key] for key in sorter.static_order()]


def get_output(seen: Mapping[Key, Observed], ref: Ref, default: Value) -> Value:
    """The output that a Ref names, or `missing` where the node isn't there or lacks it."""
    observed = seen.get(ref.key)
    return default if observed is None else observed.outputs.get(ref.output, default)
