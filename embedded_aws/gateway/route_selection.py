"""Route selection: route keys, path variables and API Gateway's order of preference.

Works on strings only: no stages, no integrations, no network.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from urllib.parse import unquote

DEFAULT_ROUTE = "$default"
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "ANY"})

_VARIABLE = re.compile(r"\{(?P<name>[\w.-]+)(?P<greedy>\+?)\}")
_CONSTANT, _SINGLE, _GREEDY = 0, 1, 2


class RouteKeyError(ValueError):
    """A route key that API Gateway would refuse. The message says why."""


@dataclass(frozen=True)
class RouteKey:
    """A parsed route key: its pattern, the names of its variables, and its rank (the smallest wins)."""

    text: str
    method: str
    path: re.Pattern[str]
    names: tuple[str, ...]
    rank: tuple[int, ...]


@dataclass(frozen=True)
class RouteMatch:
    """The selected route key, and the values of its path variables."""

    key: str
    variables: Mapping[str, str]


def parse_route_key(text: str) -> RouteKey:
    """Parse `METHOD /path` or `$default`.

    Source: API Gateway developer guide, "Create routes for HTTP APIs": an HTTP method (or ANY) and a resource path; a
    greedy variable `{name+}` must come last. Raises RouteKeyError.
    """
    if text == DEFAULT_ROUTE:
        return RouteKey(text, "ANY", re.compile(".*"), (), (2,))
    method, _, path = text.partition(" ")
    if method not in METHODS or not path.startswith("/"):
        raise RouteKeyError(f"The provided route key is not formatted properly for HTTP protocol: {text}")
    segments = path[1:].split("/")
    kinds = [_segment_kind(segment, text) for segment in segments]
    names = tuple(segment.strip("{+}") for segment, kind in zip(segments, kinds, strict=True) if kind != _CONSTANT)
    if _GREEDY in kinds[:-1]:
        raise RouteKeyError(f"A greedy path variable must be at the end of the path: {text}")
    if len(set(names)) != len(names):
        raise RouteKeyError(f"A path variable can be used once: {text}")
    patterns = {_SINGLE: "([^/]+)", _GREEDY: "(.+)"}
    pattern = "".join(
        "/" + patterns.get(kind, re.escape(segment)) for segment, kind in zip(segments, kinds, strict=True)
    )
    return RouteKey(text, method, re.compile(pattern), names, (int(_GREEDY in kinds), *kinds, int(method == "ANY")))


def select_route(keys: Iterable[RouteKey], method: str, path: str) -> RouteMatch | None:
    """Select the route for a request path (percent-encoded, without the stage), or None.

    Source: API Gateway developer guide, "Routing API requests": a full match of route and method comes first, then a
    match with a greedy path variable, then `$default`. Within a class a constant segment comes before a variable, and a
    named method before ANY. The guide's table of examples shows it (`GET /pets/dog/1` before `GET /pets/dog/{id}`).
    """
    candidates = [(key, match) for key in keys if key.method in {method, "ANY"} and (match := key.path.fullmatch(path))]
    if not candidates:
        return None
    key, match = min(candidates, key=lambda candidate: candidate[0].rank)
    return RouteMatch(key.text, dict(zip(key.names, map(unquote, match.groups()), strict=True)))


def _segment_kind(segment: str, text: str) -> int:
    variable = _VARIABLE.fullmatch(segment)
    if variable is None:
        if "{" in segment or "}" in segment:
            raise RouteKeyError(f"A path variable must fill a whole path segment: {text}")
        return _CONSTANT
    return _GREEDY if variable["greedy"] else _SINGLE
