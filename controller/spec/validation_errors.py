"""What pydantic found, in the words of the file: each of its errors becomes one Problem at the place it is about."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from controller.errors import Problem
from controller.spec import explain
from controller.spec.findings import DocumentPath, Finding, FindingsError
from controller.spec.source_file import Document
from controller.spec.units import quote_value

_EXPECTED_TYPES = {
    "string_type": "text",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "model_type": "a mapping",
    "dict_type": "a mapping",
    "mapping_type": "a mapping",
    "tuple_type": "a list",
}


def translate_errors(document: Document, error: ValidationError, model: type[BaseModel]) -> list[Problem]:
    """Every error of one document, each place once."""
    found: dict[tuple[int, int, str], Problem] = {}
    for detail in error.errors(include_url=False):
        for problem in _translate_error(document, detail, model):
            found.setdefault((problem.line, problem.column, _deduplication_key(detail, problem)), problem)
    return list(found.values())


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`did you mean 'memory'?`, or nothing if nothing is close."""
    close = difflib.get_close_matches(word, [*known], 1, 0.6)
    return f"did you mean '{close[0]}'?" if close else ""


def format_path(path: DocumentPath) -> str:
    """`spec.model.gates[0].max`."""
    text = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)
    return text.removeprefix(".")


def _deduplication_key(detail: ErrorDetails, problem: Problem) -> str:
    # A union answers once for each of its members: one of them is enough.
    return problem.message if detail["type"] in ("missing", "value_error") else ""


def _translate_error(document: Document, detail: ErrorDetails, kind: type[BaseModel]) -> Iterator[Problem]:
    path, cause = detail["loc"], detail.get("ctx", {}).get("error")
    match detail["type"]:
        case "too_short" if document.get(path):
            # Its elements were refused one by one already.
            return
        case "extra_forbidden":
            yield _unknown_field_problem(document, path, kind)
        case "missing":
            yield _missing_field_problem(document, path, kind)
        case "value_error" if isinstance(cause, FindingsError):
            yield from (_finding_problem(document, path, finding) for finding in cause.findings)
        case _:
            path = _existing_path(document, path)
            message, hint = _describe_error(format_path(path), document.get(path), detail, kind, path)
            yield document.source.make_problem(document.value_position(path), message, hint)


def _unknown_field_problem(document: Document, path: DocumentPath, kind: type[BaseModel]) -> Problem:
    parent, name = path[:-1], str(path[-1])
    block = _find_model(kind, parent)
    known = explain.describe_fields(block) if block else {}
    meant = did_you_mean(name, known) or f"known are {', '.join(known)}"
    where = format_path(parent) or "the document"
    return document.source.make_problem(
        document.key_position(path), f"unknown field '{name}' in {where}", f"{meant}   {_explain_hint(kind, parent)}"
    )


def _missing_field_problem(document: Document, path: DocumentPath, kind: type[BaseModel]) -> Problem:
    parent, name = path[:-1], str(path[-1])
    where = format_path(parent) or "the document"
    return document.source.make_problem(
        document.key_position(parent), f"'{name}' is missing in {where}", _explain_hint(kind, path)
    )


def _finding_problem(document: Document, path: DocumentPath, finding: Finding) -> Problem:
    whole = (*_existing_path(document, path), *finding.path)
    place = document.key_position(whole) if finding.at_key else document.value_position(whole)
    return document.source.make_problem(place, finding.message, finding.hint)


def _describe_error(
    name: str, value: Any, detail: ErrorDetails, kind: type[BaseModel], path: DocumentPath
) -> tuple[str, str]:
    if value is None:
        return f"{name} is empty", "give it a value, or leave the line out"
    context = detail.get("ctx", {})
    if detail["type"] == "literal_error":
        allowed = str(context["expected"]).replace(" or ", ", ")
        meant = did_you_mean(str(value), [word.strip("'") for word in allowed.split(", ")])
        return f"{name} can't be {quote_value(value)}", meant or f"it is {' or '.join(allowed.split(', '))}"
    if expected := _EXPECTED_TYPES.get(detail["type"]):
        quotes = f'put it in quotes: "{value}"' if expected == "text" and not isinstance(value, dict | list) else ""
        return f"{name} must be {expected}, not {describe_value(value)}", quotes
    return f"{name} can't be {quote_value(value)}: {_reason(detail)}", _field_doc(kind, path)


def _reason(detail: ErrorDetails) -> str:
    context = detail.get("ctx", {})
    reasons = {
        "string_pattern_mismatch": "it doesn't have the right form",
        "string_too_long": f"at most {context.get('max_length')} characters",
        "string_too_short": "it can't be empty",
        "too_short": "it can't be empty",
        "greater_than": f"it must be more than {context.get('gt')}",
        "greater_than_equal": f"it must be at least {context.get('ge')}",
        "less_than": f"it must be less than {context.get('lt')}",
        "less_than_equal": f"it must be at most {context.get('le')}",
        "finite_number": "it must be finite",
    }
    return reasons.get(detail["type"], detail["msg"])


def describe_value(value: Any) -> str:
    """Say what a value is: `a list`, `the text 'x'`, `the number 5`, `true`."""
    if isinstance(value, str):
        return f"the text {quote_value(value)}"
    return (
        f"the number {value}" if isinstance(value, int | float) and not isinstance(value, bool) else quote_value(value)
    )


def _existing_path(document: Document, path: DocumentPath) -> DocumentPath:
    """Cut what pydantic appends for the members of unions."""
    while not document.has(path):
        path = path[:-1]
    return path


def _field_names(path: DocumentPath) -> list[str]:
    return [step for step in path if isinstance(step, str)]


def _find_model(kind: type[BaseModel], path: DocumentPath) -> type[BaseModel] | None:
    found = explain.find_field(".".join((kind.__name__, *_field_names(path))))
    return found.model if found else None


def _field_doc(kind: type[BaseModel], path: DocumentPath) -> str:
    found = explain.find_field(".".join((kind.__name__, *_field_names(path))))
    return found.doc.split(";")[0].rstrip(".") if found else ""


def _explain_hint(kind: type[BaseModel], path: DocumentPath) -> str:
    return f"(moorage explain {'.'.join((kind.__name__.lower(), *_field_names(path)))})"
