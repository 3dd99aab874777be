"""Who calls what: every type of a registry watched while the real reconciler uses it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from controller.aws import AwsCall, Hook
from controller.resources.base import ResourceRegistry
from tests.conformance.api_constraints import constraint_violations
from tests.demo import EmbeddedClients


class CallAttribution(Hook):
    """Attributes each call to the type and the method that made it."""

    def __init__(
        self, registry: ResourceRegistry, clients: EmbeddedClients, listing_registry: ResourceRegistry | None = None
    ) -> None:
        """`crowd` are the same types, that look at each object as at one of many."""
        self.registry: Mapping[str, Any] = {kind: _AttributedType(inner, self) for kind, inner in registry.items()}
        self.listing_registry: Mapping[str, Any] = {
            kind: _AttributedType(inner, self) for kind, inner in (listing_registry or registry).items()
        }
        self.calls: dict[str, set[str]] = defaultdict(set)
        self.made: list[tuple[str, AwsCall]] = []
        self.writes_while_looking: dict[str, set[str]] = defaultdict(set)
        self.too_large: dict[str, set[str]] = defaultdict(set)
        self._clients, self._who = clients, ("", "")

    def client(self, service: str) -> Any:
        """A client, for its model of the service."""
        return self._clients.client(service)

    @property
    def caller(self) -> str:
        """The type that calls now; nothing where it is none."""
        return self._who[0]

    @contextmanager
    def attributed_to(self, kind: str, method: str) -> Iterator[None]:
        """What is called in here is called by this method of this type."""
        before, self._who = self._who, (kind, method)
        try:
            yield
        finally:
            self._who = before

    def before(self, call: AwsCall) -> None:
        """Note the call."""
        kind, method = self._who
        if call.name == "sts.get_caller_identity":  # the door's own
            return
        self.calls[kind].add(call.name)
        self.made.append((kind, call))
        if call.kind == "write" and method not in ("apply", "delete"):
            self.writes_while_looking[kind].add(call.name)
        self.too_large[kind] |= {
            f"{call.name}: {text}" for text in constraint_violations(self._clients.client(call.service), call)
        }


class _AttributedType:
    """A type as it is, its calls attributed to it."""

    def __init__(self, inner: Any, scene: CallAttribution) -> None:
        self._inner, self._scene = inner, scene

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._inner, name)
        if name not in ("expand", "observe", "ready", "apply", "delete"):
            return found

        def watched(*args: Any) -> Any:
            with self._scene.attributed_to(self._inner.kind, name):
                return found(*args)

        return watched
