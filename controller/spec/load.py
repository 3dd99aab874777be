"""Spec files into models. The only reader of YAML, and of no more of it than a spec needs.

    files ──read──▶ text ──compose──▶ values with places ──validate──▶ models ──compare──▶ Specs

Booleans are YAML 1.2's: `on` and `NO` stay text. Aliases, anchors and tags are refused, so are duplicate keys, more
than 50 levels and files above 256 KiB. Whatever is wrong in whichever file, `load` raises one SpecError with all of it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path as FilePath
from typing import Any

import yaml
from pydantic import ValidationError
from yaml.reader import ReaderError

from controller.errors import Problem, SpecError
from controller.spec import files, validation_errors
from controller.spec.findings import DocumentPath
from controller.spec.loaded import LoadedSpec, Specs, collect_specs
from controller.spec.models import KINDS
from controller.spec.source_file import Document, SourceFile, SourcePosition
from controller.spec.units import quote_value

MAX_DEPTH = 50
# YAML 1.2's core schema, https://yaml.org/spec/1.2.2/#103-core-schema; longer digits than any quantity has stay text.
_CORE_SCHEMA: tuple[tuple[re.Pattern[str], Callable[[str], Any]], ...] = (
    (re.compile(r"~|null|Null|NULL|"), lambda _: None),
    (re.compile(r"true|True|TRUE"), lambda _: True),
    (re.compile(r"false|False|FALSE"), lambda _: False),
    (re.compile(r"[-+]?[0-9]{1,40}"), int),
    (re.compile(r"0o[0-7]{1,40}"), lambda text: int(text, 8)),
    (re.compile(r"0x[0-9a-fA-F]{1,40}"), lambda text: int(text, 16)),
    (re.compile(r"[-+]?(\.[0-9]{1,40}|[0-9]{1,40}(\.[0-9]{0,40})?)([eE][-+]?[0-9]{1,4})?"), float),
    (re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)"), lambda text: float(text.replace(".", ""))),
)


def load_specs(paths: Sequence[FilePath]) -> Specs:
    """Load every document of the files and directories named. Raises SpecError with every problem of every file."""
    problems: list[Problem] = []
    sources = [source for file in files.find(paths, problems) if (source := files.read(file, problems))]
    return load_sources(sources, problems, ", ".join(map(str, paths)))


def load_text(text: str, file: str = "spec.yaml") -> Specs:
    """Load the documents of one text; `file` names it in errors. Raises SpecError with every problem."""
    return load_sources([SourceFile(text, file, files.read_data)], [], file)


def load_sources(sources: Iterable[SourceFile], problems: list[Problem], location: str) -> Specs:
    """Load every document of files that were read already; `problems` has what reading them found.

    Raises SpecError with all of it, and with `place` when nothing at all is declared.
    """
    specs = _load_all(sources, problems)
    if not problems and not specs.environments and not specs.services:
        problems.append(Problem(location, 1, 1, "no Environment and no ModelService here"))
    if problems:
        raise SpecError(tuple(problems))
    return specs


def _load_all(sources: Iterable[SourceFile], problems: list[Problem]) -> Specs:
    loaded = []
    for source in sources:
        found: list[Problem] = []
        loaded += [one for document in _documents(source, found) if (one := _validate(document, found))]
        problems += sorted(found, key=lambda problem: (problem.line, problem.column))
    return collect_specs(loaded, problems)


def _validate(document: Document, problems: list[Problem]) -> LoadedSpec[Any] | None:
    """Make the model a document describes; None if it can't be, and then `problems` says why."""
    value, name = document.value, document.value.get("kind") if isinstance(document.value, dict) else None
    if not isinstance(name, str) or name not in KINDS:
        hint = validation_errors.did_you_mean(str(name), KINDS) or f"it is {' or '.join(KINDS)}"
        what = "'kind' is missing" if name is None else f"unknown kind {quote_value(name)}"
        what = (
            what
            if isinstance(value, dict)
            else f"a document is a mapping, not {validation_errors.describe_value(value)}"
        )
        problems.append(
            document.source.make_problem(
                document.value_position(("kind",)), what, hint if isinstance(value, dict) else ""
            )
        )
        return None
    try:
        return LoadedSpec(KINDS[name].model_validate(value), document)
    except ValidationError as error:
        # What composing refused is missing from the values: once is enough.
        known = {(problem.line, problem.column) for problem in problems}
        found = validation_errors.translate_errors(document, error, KINDS[name])
        problems += [problem for problem in found if (problem.line, problem.column) not in known]
        return None


def _documents(source: SourceFile, problems: list[Problem]) -> Iterator[Document]:
    """Compose the documents of one file; after broken YAML the rest of the file is left."""
    try:
        yield from _Composer(source, problems).documents()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = SourcePosition(mark.line + 1, mark.column + 1) if mark else SourcePosition(1, 1)
        tab = source.line(place.line)[place.column - 1 : place.column] == "\t"
        message = "a tab can't indent YAML" if tab else f"not valid YAML: {error.problem or error.context}"
        problems.append(source.make_problem(place, message, "use spaces" if tab else ""))
    except ReaderError as error:
        before = source.text[: error.position]
        place = SourcePosition(before.count("\n") + 1, len(before) - before.rfind("\n"))
        problems.append(source.make_problem(place, f"character U+{int(error.character):04X} is not allowed in YAML"))
    except (ValueError, OverflowError):
        # PyYAML's scanner lets `chr` fail on an escape like "\UFFFFFFFF", and keeps no mark of it.
        problems.append(source.make_problem(SourcePosition(1, 1), "an escape in quotes names no character"))
    except _TooDeepError as error:
        problems.append(source.make_problem(error.position, f"more than {MAX_DEPTH} levels deep"))


class _TooDeepError(Exception):
    """The document nests deeper than any spec does."""

    def __init__(self, place: SourcePosition) -> None:
        super().__init__()
        self.position = place


class _Composer:
    """Builds documents from PyYAML's events, keeping the place of everything."""

    def __init__(self, source: SourceFile, problems: list[Problem]) -> None:
        self._source, self._problems = source, problems
        self._keys: dict[DocumentPath, SourcePosition] = {}
        self._values: dict[DocumentPath, SourcePosition] = {}
        self._events: Iterator[yaml.Event] = iter(())

    def documents(self) -> Iterator[Document]:
        """Yield each document that holds something."""
        self._events = yaml.parse(self._source.text, Loader=yaml.SafeLoader)
        for event in self._events:
            if isinstance(event, yaml.DocumentStartEvent):
                self._keys, self._values = {}, {}
                value = self._node(next(self._events), ())
                if value is not None:
                    yield Document(value, self._source, self._keys, self._values)

    def _node(self, event: yaml.Event, path: DocumentPath) -> Any:
        place = self._values[path] = self._position(event)
        self._reject_unsupported(event, place)
        if isinstance(event, yaml.CollectionStartEvent):
            if len(path) >= MAX_DEPTH:
                raise _TooDeepError(place)
            return self._list(path) if isinstance(event, yaml.SequenceStartEvent) else self._mapping(path)
        if isinstance(event, yaml.ScalarEvent):
            return _parse_scalar(event.value) if event.style is None else _replace_surrogates(event.value)
        return None

    def _list(self, path: DocumentPath) -> list[Any]:
        items: list[Any] = []
        while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
            items.append(self._node(event, (*path, len(items))))
        return items

    def _mapping(self, path: DocumentPath) -> dict[str, Any]:
        """Read a mapping; its keys are text, whatever they look like."""
        mapping: dict[str, Any] = {}
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            place = self._position(event)
            if not isinstance(event, yaml.ScalarEvent):
                self._add_problem(place, "a key must be text")
                self._skip(event, path)
                self._skip(next(self._events), path)
                continue
            self._reject_unsupported(event, place)
            key = _replace_surrogates(event.value)
            if key in mapping:
                self._add_problem(place, f"'{key}' is set twice", f"first on line {self._keys[*path, key].line}")
                self._skip(next(self._events), path)
                continue
            self._keys[*path, key] = place
            mapping[key] = self._node(next(self._events), (*path, key))
        return mapping

    def _skip(self, event: yaml.Event, path: DocumentPath) -> None:
        """Read what has no use, its own problems included."""
        kept, (self._keys, self._values) = (self._keys, self._values), ({}, {})
        self._node(event, (*path, "?"))
        self._keys, self._values = kept

    def _reject_unsupported(self, event: yaml.Event, place: SourcePosition) -> None:
        if isinstance(event, yaml.AliasEvent):
            self._add_problem(place, f"alias '*{event.anchor}' is not allowed", "write the value out")
            return
        if isinstance(event, yaml.NodeEvent) and event.anchor:
            self._add_problem(place, f"anchor '&{event.anchor}' is not allowed", "write values out where they are used")
        if isinstance(event, yaml.ScalarEvent) and _replace_surrogates(event.value) != event.value:
            self._add_problem(place, "half a character: a surrogate without its pair")
        if isinstance(event, yaml.ScalarEvent | yaml.CollectionStartEvent) and event.tag:
            self._add_problem(place, f"tag '{event.tag}' is not allowed", "leave it out; quotes make text")

    def _add_problem(self, place: SourcePosition, message: str, hint: str = "") -> None:
        self._problems.append(self._source.make_problem(place, message, hint))

    @staticmethod
    def _position(event: yaml.Event) -> SourcePosition:
        start, end = event.start_mark, event.end_mark
        if start is None or end is None:
            return SourcePosition(1, 1)
        # A value over several lines is underlined at its first character only.
        width = end.column - start.column if end.line == start.line else 1
        return SourcePosition(start.line + 1, start.column + 1, max(1, width))


def _parse_scalar(text: str) -> Any:
    return next((read(text) for pattern, read in _CORE_SCHEMA if pattern.fullmatch(text)), text)


def _replace_surrogates(text: str) -> str:
    """Put question marks in the place of lone surrogates, which no encoding has."""
    return text.encode("utf-8", "replace").decode()
