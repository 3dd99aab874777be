"""What loading yields: models with the places they were read at, and the checks that concern several documents."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from controller.errors import Problem
from controller.spec import validation_errors
from controller.spec.findings import DocumentPath
from controller.spec.models import Environment, ModelService
from controller.spec.source_file import Document

T_co = TypeVar("T_co", Environment, ModelService, covariant=True)


@dataclass(frozen=True)
class LoadedSpec(Generic[T_co]):
    """A model and where it was read."""

    model: T_co
    document: Document

    def make_problem(self, path: str, message: str, hint: str = "") -> Problem:
        """Make a Problem at a field, written like `spec.data.source` or `spec.model.gates.0.max`.

        A field that the file leaves out is reported at the nearest one around it.
        """
        steps: DocumentPath = tuple(int(step) if step.isdigit() else step for step in path.split("."))
        return self.document.source.make_problem(self.document.value_position(steps), message, hint)

    def resolve_path(self, name: str) -> str:
        """Path of a file that the spec names relative to itself; the document's source can read it."""
        return posixpath.join(posixpath.dirname(self.document.source.file), name)


@dataclass(frozen=True)
class Specs:
    """Everything declared, by name, in reading order."""

    environments: dict[str, LoadedSpec[Environment]]
    services: dict[str, LoadedSpec[ModelService]]

    @property
    def documents(self) -> tuple[LoadedSpec[Environment] | LoadedSpec[ModelService], ...]:
        """All of it, Environments first."""
        return (*self.environments.values(), *self.services.values())

    def get_environment(self, name: str) -> Environment:
        """Return the Environment of that name; `default` needs no document."""
        loaded = self.environments.get(name)
        return loaded.model if loaded else Environment.default()


def collect_specs(loaded: Iterable[LoadedSpec[Any]], problems: list[Problem]) -> Specs:
    """Put models together. Names used twice and Environments that nobody declares join `problems`."""
    specs = Specs({}, {})
    for one in loaded:
        group: dict[str, LoadedSpec[Any]] = specs.environments if isinstance(one.model, Environment) else specs.services
        first = group.setdefault(one.model.name, one)
        if first is not one:
            there = f"{first.document.source.file}:{first.document.value_position(('metadata', 'name')).line}"
            message = f"{one.model.kind} '{one.model.name}' exists already at {there}"
            problems.append(one.make_problem("metadata.name", message, "choose another name"))
    # Where something is broken already, the Environment may be among it.
    for service in specs.services.values() if not problems else ():
        name = service.model.spec.environment
        if name != "default" and name not in specs.environments:
            hint = (
                validation_errors.did_you_mean(name, specs.environments)
                or "declare it, or leave the field out for 'default'"
            )
            problems.append(service.make_problem("spec.environment", f"unknown Environment '{name}'", hint))
    problems += _duplicate_references(specs.services.values())
    return specs


def _duplicate_references(services: Iterable[LoadedSpec[ModelService]]) -> Iterator[Problem]:
    """Check that each existing object is named by one spec only: two specs would adopt it in turn."""
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
                yield service.make_problem(path, f"ModelService '{first}' names {name} already", "name another one")
