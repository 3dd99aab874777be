"""The models as JSON Schema, draft 7, which editors read. Rules between fields are left to loading."""

from __future__ import annotations

import json
from typing import Any

from pydantic import BaseModel

from controller.spec.models import KINDS

SCHEMA_DIALECT = "http://json-schema.org/draft-07/schema#"


def kind_schema(kind: str) -> dict[str, Any]:
    """Describe one kind, `Environment` or `ModelService`."""
    return model_schema(KINDS[kind], kind)


def kind_schema_text(kind: str) -> str:
    """Write the schema as the file that is published."""
    return model_schema_text(KINDS[kind], kind)


def model_schema(model: type[BaseModel], title: str) -> dict[str, Any]:
    """Describe any model."""
    raw = model.model_json_schema(by_alias=True, ref_template="#/definitions/{model}")
    definitions = {name: _tidy(part) for name, part in sorted(raw.pop("$defs").items())}
    return {"$schema": SCHEMA_DIALECT, "title": title, **_tidy(raw), "definitions": definitions}


def model_schema_text(model: type[BaseModel], title: str) -> str:
    """Write a model's schema as the file that is published."""
    return json.dumps(model_schema(model, title), indent=2, ensure_ascii=False) + "\n"


def _tidy(part: Any) -> Any:
    """Leave out generated titles and null defaults, and keep what stands beside a `$ref`: draft 7 would ignore it."""
    if isinstance(part, list):
        return [_tidy(item) for item in part]
    if not isinstance(part, dict):
        return part
    kept = {name: _tidy_value(name, value) for name, value in part.items() if not _is_noise(name, value)}
    if "$ref" in kept and len(kept) > 1:
        kept = {"allOf": [{"$ref": kept.pop("$ref")}], **kept}
    return kept


def _tidy_value(name: str, value: Any) -> Any:
    # The keys of `properties` are names of fields: a field may well be called `title` or `default`.
    if name == "properties":
        return {field: _tidy(schema) for field, schema in value.items()}
    return value if name in ("default", "enum", "const", "examples") else _tidy(value)


def _is_noise(name: str, value: Any) -> bool:
    return (name == "title" and isinstance(value, str)) or (name == "default" and value is None)
