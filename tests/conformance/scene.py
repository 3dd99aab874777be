"""Who calls what: every type of a registry watched while the real reconciler uses it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from controller.aws import Call, Hook
from controller.resources.base import Registry
from tests.conformance.limits import too_large
from tests.demo import Clients


class Scene(Hook):
    """Attributes each call to the type and the method that made it."""

    def __init__(self, registry: Registry, clients: Clients, crowd: Registry | None = None) -> None:
        """`crowd` are the same types, that look at each object as at one of many."""
        self.registry: Mapping[str, Any] = {kind: _Watched(inner, self) for kind, inner in registry.items()}
        self.crowd: Mapping[str, Any] = {kind: _Watched(inner, self) for kind, inner in (crowd or registry).items()}
        self.calls: dict[str, set[str]] = defaultdict(set)
        self.made: list[tuple[str, Call]] = []
        self.writes_while_looking: dict[str, set[str]] = defaultdict(set)
        self.too_large: dict[str, set[str]] = defaultdict(set)
        self._clients, self._who = clients, ("", "")

    def client(self, service: str) -> Any:
        """A client, for its model of the service."""
        return self._clients.client(service)

    @property
    def who(self) -> str:
        """The type that calls now; nothing where it is none."""
        return self._who[0]

    @contextmanager
    def of(self, kind: str, method: str) -> Iterator[None]:
        """What is called in here is called by this method of this type."""
        before, self._who = self._who, (kind, method)
        try:
            yield
        finally:
            self._who = before

    def before(self, call: Call) -> None:
        """Note the call."""
        kind, method = self._who
        if call.name == "sts.get_caller_identity":  # the door's own
            return
        self.calls[kind].add(call.name)
        self.made.append((kind, call))
        if call.kind == "write" and method not in ("apply", "delete"):
            self.writes_while_looking[kind].add(call.name)
        self.too_large[kind] |= {f"{call.name}: {text}" for text in too_large(self._clients.client(call.service), call)}


class _Watched:
    """A type as it is, its calls attributed to it."""

    def __init__(self, inner: Any, scene: Scene) -> None:
        self._inner, self._scene = inner, scene

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._inner, name)
        if name not in ("expand", "observe", "ready", "apply", "delete"):
            return found

        def watched(*args: Any) -> Any:
            with self._scene.of(self._inner.kind, name):
                return found(*args)

        return watched
