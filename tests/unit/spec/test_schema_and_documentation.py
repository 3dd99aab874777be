"""What is published about the specs agrees with what is loaded: models, schema, explain, reference, examples."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from controller.spec import explain, json_schema
from controller.spec.load import load_specs, load_text
from controller.spec.models import KINDS, Environment, ModelService

ROOT = Path(__file__).resolve().parents[3]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("specs/**/*.md")])
BLOCKS = [
    pytest.param(block, id=f"{page.relative_to(ROOT)}-{number}")
    for page in PAGES
    for number, block in enumerate(re.findall(r"^```ya?ml\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL))
]
FILES = [pytest.param(path.read_text(), id=path.name) for path in sorted((ROOT / "specs").glob("*.yaml"))]


def documents(text: str) -> list[Any]:
    return [document for document in yaml.load_all(text, yaml.SafeLoader) if document]


def refused(document: Any) -> bool:
    """Whether the schema of its kind refuses a document."""
    return not jsonschema.Draft7Validator(json_schema.kind_schema(document["kind"])).is_valid(document)


def test_documentation_has_examples() -> None:
    """The checks below are about something."""
    assert len(BLOCKS) >= 2
    assert len(FILES) >= 2


@pytest.mark.parametrize("text", BLOCKS)
def test_every_yaml_block_of_the_documentation_loads(text: str) -> None:
    """What a reader copies out of a page is a right spec."""
    load_text(text)


@pytest.mark.parametrize("text", [*BLOCKS, *FILES])
def test_every_example_fits_the_schema(text: str) -> None:
    """An editor that reads the schema finds nothing wrong in our own examples."""
    for document in documents(text):
        jsonschema.validate(document, json_schema.kind_schema(document["kind"]), jsonschema.Draft7Validator)


@pytest.mark.parametrize("kind", KINDS)
def test_the_schema_is_draft_7(kind: str) -> None:
    """The published schema is valid itself, and nothing stands beside a `$ref`, where draft 7 would ignore it."""
    schema = json_schema.kind_schema(kind)
    jsonschema.Draft7Validator.check_schema(schema)
    assert re.search(r'"\$ref": "[^"]*",', json.dumps(schema)) is None


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("memroy", 1),
        ("cpu", "lots"),
        ("cpu", 0.5),
        ("memory", 1),
        ("desiredCount", -1),
        ("stopTimeout", 30),
        ("env", {"PORT": 8080}),
        ("secrets", [{"name": "A"}]),
    ],
)
def test_the_schema_refuses_what_loading_refuses(field: str, value: Any) -> None:
    """The schema is no empty promise: typical mistakes are seen by an editor too."""
    document = documents((ROOT / "specs/housing-model.yaml").read_text())[0]
    assert not refused(document)
    document["spec"]["service"][field] = value
    assert refused(document)


def test_the_schema_knows_the_hyperparameters() -> None:
    """An unknown name and a value out of range are seen while typing."""
    for wrong in ({"max_deph": 6}, {"eta": 3}, {"booster": "forest"}):
        document = documents((ROOT / "specs/housing-model.yaml").read_text())[0]
        document["spec"]["training"]["hyperparameters"] |= wrong
        assert refused(document)


@pytest.mark.parametrize("kind", KINDS)
def test_every_field_is_documented(kind: str) -> None:
    """No field without a sentence on it, none whose kind of value can't be told."""
    for field in explain.walk_fields(KINDS[kind], ""):
        assert field.doc.endswith("."), field.path
        assert field.type_name, field.path


def test_explain_finds_fields_and_nothing_else() -> None:
    """The paths that errors point to lead somewhere; lists need no index, kinds no capitals."""
    cpu = explain.find_field("modelservice.spec.service.cpu")
    assert cpu is not None
    assert (cpu.type_name, cpu.default, cpu.required) == ("CPU size", "0.25 vCPU", False)
    gate = explain.find_field("ModelService.spec.model.gates.max")
    assert gate is not None
    assert gate.path == "modelservice.spec.model.gates.max"
    routes = explain.find_field("modelservice.spec.api.routes")
    assert routes is not None
    assert routes.default == '[{"method": "POST", "path": "/predict"}, {"method": "GET", "path": "/livez"}]'
    assert explain.find_field("modelservice.spec.servise") is None
    assert explain.find_field("pod") is None


def test_spec_round_trips_through_json() -> None:
    """What is stored or printed of a spec can be loaded again and is equal."""
    for text in [*BLOCKS, *FILES]:
        specs = load_text(str(text.values[0]))
        for loaded in (*specs.environments.values(), *specs.services.values()):
            model = loaded.model
            assert type(model).model_validate(model.model_dump(mode="json", by_alias=True)) == model


def test_the_default_environment_needs_no_document() -> None:
    """`default` means the same whether or not a document spells it out."""
    written = "apiVersion: moorage/v1alpha1\nkind: Environment\nmetadata: {name: default}\n"
    assert load_text(written).get_environment("default") == Environment.default()
    assert load_specs([ROOT / "specs/housing-model.yaml"]).get_environment("default") == Environment.default()


def test_models_are_frozen() -> None:
    """Nothing changes a spec after loading."""
    service = ModelService.model_validate(documents((ROOT / "specs/housing-model.yaml").read_text())[0])
    with pytest.raises(ValueError, match="frozen"):
        service.spec.service.cpu = 512
