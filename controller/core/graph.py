"""The graph of the desired state: nodes, the edges in their values, and the order that follows."""

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

    `identity` finds it (literals, and Refs to parents). `desired` holds its desired fields. `reads` are further nodes
    whose state it reads without taking a value from them. `reference_field` is the field of the spec that names an
    existing object (`spec.api.id`): Moorage uses such an object and never creates it.
    """

    key: Key
    identity: Mapping[str, Value]
    desired: Mapping[str, Value] = field(default_factory=dict)
    reads: tuple[Key, ...] = ()
    reference_field: str = ""

    @property
    def is_external(self) -> bool:
        """Whether the object belongs to others and nothing is desired of it. It is never written nor recorded."""
        return bool(self.reference_field) and not self.desired

    @property
    def missing_message(self) -> tuple[str, str]:
        """What to say if a referenced object doesn't exist, and what to do.

        An example is `there is none with family churn, revision 7`.
        """
        plain = ((name, value) for name, value in self.identity.items() if isinstance(value, str | int))
        called = ", ".join(f"{name} {value}" for name, value in plain)
        return f"there is none with {called}", f"correct {self.reference_field}, or leave it out"

    @cached_property
    def parents(self) -> frozenset[Key]:
        """The nodes that must exist for this one to be found."""
        return frozenset(ref.key for ref in iter_refs(self.identity)) or _NONE

    @cached_property
    def edges(self) -> frozenset[Key]:
        """The nodes that must come before this one."""
        return frozenset(ref.key for ref in iter_refs([self.identity, self.desired])) | frozenset(self.reads)

    def resolve(self, lookup: Callable[[Ref], Value]) -> Node:
        """Return this node with values in place of Refs; the nodes that the Refs named stay in `reads`."""
        identity, desired = resolve(self.identity, lookup), resolve(self.desired, lookup)
        return Node(self.key, identity, desired, tuple(sorted(self.edges)), self.reference_field)


@dataclass(frozen=True)
class Target:
    """Where to look for an object: an identity without Refs, and hints from the record: outputs and applied fields."""

    key: Key
    identity: Mapping[str, Value]
    known_outputs: Mapping[str, Value] = field(default_factory=dict)
    applied_fields: Mapping[str, Value] = field(default_factory=dict)


@dataclass(frozen=True)
class Observed:
    """An object as observed: `fields` in the shape of `desired`, and `outputs` for the nodes that refer to it."""

    fields: Mapping[str, Value] = field(default_factory=dict)
    outputs: Mapping[str, Value] = field(default_factory=dict)

    @property
    def id(self) -> str:
        """The name or ARN of the object in AWS; empty if it has none."""
        return next((str(self.outputs[name]) for name in ("arn", "id", "name", "url") if name in self.outputs), "")


@dataclass(frozen=True)
class Graph:
    """All nodes of a pass, and the spec that each belongs to."""

    nodes: Mapping[Key, Node]
    owners: Mapping[Key, Key]

    @classmethod
    def build(cls, nodes_by_owner: Iterable[tuple[Key, Iterable[Node]]]) -> Graph:
        """Collect the nodes of each owner.

        Raises ValueError if two nodes share a key or a Ref points nowhere: both are defects of a resource type.
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
        """Return the nodes, each after all nodes that it refers to; equal graphs give equal orders."""
        return list(self._topological_order)

    def nodes_of(self, owner: Key) -> Sequence[Node]:
        """Return one spec's nodes, in order."""
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
        """Return the nodes in groups that can be observed together: each wave's parents are in earlier waves."""
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
    """Return the output that a Ref names, or `default` if the node doesn't exist or lacks the output."""
    observed = seen.get(ref.key)
    return default if observed is None else observed.outputs.get(ref.output, default)
