"""The models as JSON Schema, draft 7, which editors read. Rules between fields are left to loading."""

from __future__ import annotations

import json
from typing import Any

from pydantic import BaseModel

from controller.spec.models import KINDS

DRAFT = "http://json-schema.org/draft-07/schema#"


def schema(kind: str) -> dict[str, Any]:
    """Describe one kind, `Environment` or `ModelService`."""
    return schema_of(KINDS[kind], kind)


def text(kind: str) -> str:
    """Write the schema as the file that is published."""
    return text_of(KINDS[kind], kind)


def schema_of(model: type[BaseModel], title: str) -> dict[str, Any]:
    """Describe any model."""
    raw = model.model_json_schema(by_alias=True, ref_template="#/definitions/{model}")
    definitions = {name: _tidy(part) for name, part in sorted(raw.pop("$defs").items())}
    return {"$schema": DRAFT, "title": title, **_tidy(raw), "definitions": definitions}


def text_of(model: type[BaseModel], title: str) -> str:
    """Write a model's schema as the file that is published."""
    return json.dumps(schema_of(model, title), indent=2, ensure_ascii=False) + "\n"


def _tidy(part: Any) -> Any:
    """Leave out generated titles and null defaults, and keep what stands beside a `$ref`: draft 7 would ignore it."""
    if isinstance(part, list):
        return [_tidy(item) for item in part]
    if not isinstance(part, dict):
        return part
    kept = {name: _inside(name, value) for name, value in part.items() if not _noise(name, value)}
    if "$ref" in kept and len(kept) > 1:
        kept = {"allOf": [{"$ref": kept.pop("$ref")}], **kept}
    return kept


def _inside(name: str, value: Any) -> Any:
    # The keys of `properties` are names of fields: a field may well be called `title` or `default`.
    if name == "properties":
        return {field: _tidy(schema) for field, schema in value.items()}
    return value if name in ("default", "enum", "const", "examples") else _tidy(value)


def _noise(name: str, value: Any) -> bool:
    return (name == "title" and isinstance(value, str)) or (name == "default" and value is None)
