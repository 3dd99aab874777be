"""What loading yields: models with the places they were read at, and the checks that concern several documents."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from controller.errors import Problem
from controller.spec import judge
from controller.spec.findings import Path
from controller.spec.models import Environment, ModelService
from controller.spec.source import Document

T_co = TypeVar("T_co", Environment, ModelService, covariant=True)


@dataclass(frozen=True)
class Loaded(Generic[T_co]):
    """A model and where it was read."""

    model: T_co
    document: Document

    def problem(self, path: str, message: str, hint: str = "") -> Problem:
        """Make a Problem at a field, written like `spec.data.source` or `spec.model.gates.0.max`.

        A field that the file leaves out is reported at the nearest one around it.
        """
        steps: Path = tuple(int(step) if step.isdigit() else step for step in path.split("."))
        return self.document.source.problem(self.document.at(steps), message, hint)

    def beside(self, name: str) -> str:
        """Path of a file that the spec names relative to itself; the document's source can read it."""
        return posixpath.join(posixpath.dirname(self.document.source.file), name)


@dataclass(frozen=True)
class Specs:
    """Everything declared, by name, in reading order."""

    environments: dict[str, Loaded[Environment]]
    services: dict[str, Loaded[ModelService]]

    @property
    def documents(self) -> tuple[Loaded[Environment] | Loaded[ModelService], ...]:
        """All of it, Environments first."""
        return (*self.environments.values(), *self.services.values())

    def environment(self, name: str) -> Environment:
        """Return the Environment of that name; `default` needs no document."""
        loaded = self.environments.get(name)
        return loaded.model if loaded else Environment.default()


def compare(loaded: Iterable[Loaded[Any]], problems: list[Problem]) -> Specs:
    """Put models together. Names used twice and Environments that nobody declares join `problems`."""
    specs = Specs({}, {})
    for one in loaded:
        group: dict[str, Loaded[Any]] = specs.environments if isinstance(one.model, Environment) else specs.services
        first = group.setdefault(one.model.name, one)
        if first is not one:
            there = f"{first.document.source.file}:{first.document.at(('metadata', 'name')).line}"
            message = f"{one.model.kind} '{one.model.name}' exists already at {there}"
            problems.append(one.problem("metadata.name", message, "choose another name"))
    # Where something is broken already, the Environment may be among it.
    for service in specs.services.values() if not problems else ():
        name = service.model.spec.environment
        if name != "default" and name not in specs.environments:
            hint = judge.did_you_mean(name, specs.environments) or "declare it, or leave the field out for 'default'"
            problems.append(service.problem("spec.environment", f"unknown Environment '{name}'", hint))
    problems += _taken_twice(specs.services.values())
    return specs


def _taken_twice(services: Iterable[Loaded[ModelService]]) -> Iterator[Problem]:
    """What lives outside can be named by one spec only: two would take it from each other, turn by turn."""
    owners: dict[tuple[str, str, str], str] = {}
    for service in services:
        spec = service.model.spec
        named = {
            "spec.service.name": spec.service.name,
            "spec.service.discovery": spec.service.discovery,
            "spec.api.id": spec.api.id if spec.api else None,
        }
        for path, name in named.items():
            first = owners.setdefault((path, spec.environment, name), service.model.name) if name else ""
            if name and first != service.model.name:
                yield service.problem(path, f"ModelService '{first}' names {name} already", "name another one")
