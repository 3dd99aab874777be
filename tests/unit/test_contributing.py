"""The recipes of CONTRIBUTING.md work: each is followed on a toy."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

import controller.resources
import embedded_aws.strict
from controller.cli import reference
from controller.resources.base import Resource, ResourceContext, discover_resources
from controller.spec import explain
from controller.spec.json_schema import model_schema
from controller.spec.strict import StrictModel
from embedded_aws.emulator import Emulator
from tests.conformance.manual_edits import MANUAL_EDITS

ROOT = Path(__file__).parents[2]

RESOURCE_TYPE = '''
"""A toy type."""
from controller.resources.base import Resource


class Toy(Resource):
    """A toy."""

    kind = "toy/thing"
'''
STRICT_MODULE = '''
"""A toy rule."""
from embedded_aws.api_call import ApiError


def install(emulator):
    emulator.register_handler("toy", "CreateThing", _create_thing)


def _create_thing(call):
    # Source: the toy's documentation.
    raise ApiError("LimitExceededException", "there are too many toys")
'''


class ToyModel(StrictModel):
    """A toy section."""

    drain_seconds: int = 60
    """How long the toy drains, in seconds."""
    other: ToyPart | None = None
    """A part."""


class ToyPart(StrictModel):
    """A part of the toy."""

    size: int
    """The size."""


@pytest.fixture
def add_module(tmp_path: Path) -> Iterator[object]:
    """Add a module to a package that discovers its modules, for one test."""
    added: list[tuple[ModuleType, str]] = []

    def add(package: ModuleType, name: str, text: str) -> None:
        (tmp_path / f"{name}.py").write_text(text)
        package.__path__.append(str(tmp_path))
        importlib.invalidate_caches()
        added.append((package, name))

    yield add
    for package, name in added:
        package.__path__.remove(str(tmp_path))
        sys.modules.pop(f"{package.__name__}.{name}", None)
        vars(package).pop(name, None)


def test_a_new_field_is_in_schema_and_reference() -> None:
    """The docstring below a field is its description, under its camel-case name, with its default."""
    schema = model_schema(ToyModel, "Toy")["properties"]["drainSeconds"]
    assert schema == {"default": 60, "description": "How long the toy drains, in seconds.", "type": "integer"}
    rows = list(reference._table(explain.walk_fields(ToyModel, "spec")))
    assert "| `spec.drainSeconds` | integer | `60` | How long the toy drains, in seconds. |" in rows


def test_a_new_resource_type_is_discovered(add_module: object) -> None:
    """A file in controller/resources is enough for the registry."""
    assert callable(add_module)
    add_module(controller.resources, "toy_thing", RESOURCE_TYPE)
    registry = discover_resources(ResourceContext(Path()))
    try:
        assert isinstance(registry["toy/thing"], Resource)
    finally:
        # A class lives as long as its subclasses' list shows it: later tests must not see the toy.
        type(registry["toy/thing"]).__module__ = "toy"


def test_a_missing_conformance_entry_says_what_to_add_where() -> None:
    """Instead of a bare KeyError, the table names itself, its file, and what its entries are."""
    expected = r"toy/thing needs an entry in MANUAL_EDITS in tests/conformance/manual_edits.py: a function that edits"
    with pytest.raises(LookupError, match=expected):
        MANUAL_EDITS["toy/thing"]


def test_a_new_strict_module_is_installed(add_module: object, tmp_path: Path) -> None:
    """A module with `install` in embedded_aws/strict registers its handlers."""
    assert callable(add_module)
    add_module(embedded_aws.strict, "toy", STRICT_MODULE)
    module = importlib.import_module("embedded_aws.strict.toy")
    emulator = Emulator(tmp_path)
    module.install(emulator)
    assert ("toy", "CreateThing") in emulator.handlers
    with pytest.raises(ValueError, match=r"toy\.CreateThing has a handler already"):
        module.install(emulator)


def test_every_file_that_the_recipes_name_exists() -> None:
    """A recipe that names a moved file would mislead."""
    text = (ROOT / "CONTRIBUTING.md").read_text()
    named = {word.strip("`(),.:;") for word in text.split() if word.startswith("`") and ("/" in word)}
    paths = {name for name in named if name.split("/")[0] in ("controller", "tests", "docs", "embedded_aws")}
    assert len(paths) > 8
    assert [name for name in sorted(paths) if "SERVICE_TYPE" not in name and not (ROOT / name).exists()] == []
