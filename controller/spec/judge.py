"""What pydantic found, in the words of the file: each of its errors becomes one Problem at the place it is about."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from controller.errors import Problem
from controller.spec import explain
from controller.spec.findings import Finding, FindingsError, Path
from controller.spec.source import Document
from controller.spec.units import show

_EXPECTED = {
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


def problems(document: Document, error: ValidationError, kind: type[BaseModel]) -> list[Problem]:
    """Every error of one document, each place once."""
    found: dict[tuple[int, int, str], Problem] = {}
    for detail in error.errors(include_url=False):
        for problem in _problems(document, detail, kind):
            found.setdefault((problem.line, problem.column, _once(detail, problem)), problem)
    return list(found.values())


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`did you mean 'memory'?`, or nothing if nothing is close."""
    close = difflib.get_close_matches(word, [*known], 1, 0.6)
    return f"did you mean '{close[0]}'?" if close else ""


def dotted(path: Path) -> str:
    """`spec.model.gates[0].max`."""
    text = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)
    return text.removeprefix(".")


def _once(detail: ErrorDetails, problem: Problem) -> str:
    # A union answers once for each of its members: one of them is enough.
    return problem.message if detail["type"] in ("missing", "value_error") else ""


def _problems(document: Document, detail: ErrorDetails, kind: type[BaseModel]) -> Iterator[Problem]:
    path, cause = detail["loc"], detail.get("ctx", {}).get("error")
    match detail["type"]:
        case "too_short" if document.get(path):
            # Its elements were refused one by one already.
            return
        case "extra_forbidden":
            yield _unknown(document, path, kind)
        case "missing":
            yield _missing(document, path, kind)
        case "value_error" if isinstance(cause, FindingsError):
            yield from (_finding(document, path, finding) for finding in cause.findings)
        case _:
            path = _existing(document, path)
            message, hint = _wrong(dotted(path), document.get(path), detail, kind, path)
            yield document.source.problem(document.at(path), message, hint)


def _unknown(document: Document, path: Path, kind: type[BaseModel]) -> Problem:
    parent, name = path[:-1], str(path[-1])
    block = _field(kind, parent)
    known = explain.fields(block) if block else {}
    meant = did_you_mean(name, known) or f"known are {', '.join(known)}"
    where = dotted(parent) or "the document"
    return document.source.problem(
        document.key(path), f"unknown field '{name}' in {where}", f"{meant}   {_pointer(kind, parent)}"
    )


def _missing(document: Document, path: Path, kind: type[BaseModel]) -> Problem:
    parent, name = path[:-1], str(path[-1])
    where = dotted(parent) or "the document"
    return document.source.problem(document.key(parent), f"'{name}' is missing in {where}", _pointer(kind, path))


def _finding(document: Document, path: Path, finding: Finding) -> Problem:
    whole = (*_existing(document, path), *finding.path)
    place = document.key(whole) if finding.name else document.at(whole)
    return document.source.problem(place, finding.message, finding.hint)


def _wrong(name: str, value: Any, detail: ErrorDetails, kind: type[BaseModel], path: Path) -> tuple[str, str]:
    if value is None:
        return f"{name} is empty", "give it a value, or leave the line out"
    context = detail.get("ctx", {})
    if detail["type"] == "literal_error":
        allowed = str(context["expected"]).replace(" or ", ", ")
        meant = did_you_mean(str(value), [word.strip("'") for word in allowed.split(", ")])
        return f"{name} can't be {show(value)}", meant or f"it is {' or '.join(allowed.split(', '))}"
    if expected := _EXPECTED.get(detail["type"]):
        quotes = f'put it in quotes: "{value}"' if expected == "text" and not isinstance(value, dict | list) else ""
        return f"{name} must be {expected}, not {kind_of(value)}", quotes
    return f"{name} can't be {show(value)}: {_reason(detail)}", _doc(kind, path)


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


def kind_of(value: Any) -> str:
    """Say what a value is: `a list`, `the text 'x'`, `the number 5`, `true`."""
    if isinstance(value, str):
        return f"the text {show(value)}"
    return f"the number {value}" if isinstance(value, int | float) and not isinstance(value, bool) else show(value)


def _existing(document: Document, path: Path) -> Path:
    """Cut what pydantic appends for the members of unions."""
    while not document.has(path):
        path = path[:-1]
    return path


def _names(path: Path) -> list[str]:
    return [step for step in path if isinstance(step, str)]


def _field(kind: type[BaseModel], path: Path) -> type[BaseModel] | None:
    found = explain.find(".".join((kind.__name__, *_names(path))))
    return found.block if found else None


def _doc(kind: type[BaseModel], path: Path) -> str:
    found = explain.find(".".join((kind.__name__, *_names(path))))
    return found.doc.split(";")[0].rstrip(".") if found else ""


def _pointer(kind: type[BaseModel], path: Path) -> str:
    return f"(moorage explain {'.'.join((kind.__name__.lower(), *_names(path)))})"
