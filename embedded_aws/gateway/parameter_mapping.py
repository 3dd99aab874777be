"""Parameter mapping: how an integration changes requests before sending them, and responses before returning them.

Source of the whole table: API Gateway developer guide, "Transform API requests and responses for HTTP APIs". JSON paths
into bodies (`$request.body…`, `$response.body…`) are not supported: the control plane refuses them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from multidict import CIMultiDict, MultiDict

_KEY = re.compile(r"(?P<how>append|overwrite|remove):(?P<place>header|querystring)\.(?P<name>[\w.-]+)")
_EXPRESSION = re.compile(r"\$\{(?P<braced>[^{}]+)\}|\$(?P<bare>(?:request|response|context|stageVariables)\.[\w.-]+)")
_KNOWN = re.compile(
    r"(?:request|response)\.header\.[\w.-]+|request\.querystring\.[\w.-]+|request\.path(?:\.[\w.-]+)?|context\.\w[\w.]*|stageVariables\.\w+"
)
_RESERVED = frozenset(
    {
        "authorization",
        "connection",
        "content-encoding",
        "content-length",
        "content-location",
        "forwarded",
        "keep-alive",
        "origin",
        "proxy-authenticate",
        "proxy-authorization",
        "te",
        "trailers",
        "transfer-encoding",
        "upgrade",
        "x-forwarded-for",
        "x-forwarded-host",
        "x-forwarded-proto",
        "via",
    }
)
_RESERVED_PREFIXES = ("access-control-", "apigw-", "x-amz-", "x-amzn-")


class MappingError(ValueError):
    """A mapping that API Gateway would refuse, or that is not supported here. The message names it and the reason."""


@dataclass(frozen=True)
class MappingContext:
    """The values that expressions may refer to. `path` is the request path without the stage, percent-encoded."""

    path: str = "/"
    variables: Mapping[str, str] = field(default_factory=dict)
    headers: CIMultiDict[str] = field(default_factory=CIMultiDict)
    query: MultiDict[str] = field(default_factory=MultiDict)
    context: Mapping[str, str] = field(default_factory=dict)
    stage_variables: Mapping[str, str] = field(default_factory=dict)
    response_headers: CIMultiDict[str] = field(default_factory=CIMultiDict)


@dataclass(frozen=True)
class MappedRequest:
    """The request to send. `path` starts with a slash."""

    path: str
    headers: CIMultiDict[str]
    query: MultiDict[str]


def check_request_mapping(mapping: Mapping[str, str]) -> None:
    """Check `requestParameters`. Raises MappingError."""
    for key, value in mapping.items():
        if key == "overwrite:path":
            _check_expression(key, value)
            continue
        match = _KEY.fullmatch(key)
        if match is None:
            raise MappingError(f"Invalid mapping expression specified: {key}")
        if match["place"] == "header":
            _check_header(match["name"])
        if match["how"] != "remove":
            _check_expression(key, value)


def check_response_mapping(mapping: Mapping[str, Mapping[str, str]]) -> None:
    """Check `responseParameters`, which are by status code. Raises MappingError."""
    for status, changes in mapping.items():
        if not (status.isdecimal() and 200 <= int(status) <= 599):
            raise MappingError(f"Invalid status code in response parameters: {status}")
        for key, value in changes.items():
            match = _KEY.fullmatch(key)
            if key == "overwrite:statuscode":
                continue
            if match is None or match["place"] != "header":
                raise MappingError(f"Invalid mapping expression specified: {key}")
            _check_header(match["name"])
            if match["how"] != "remove":
                _check_expression(key, value)


def map_request(mapping: Mapping[str, str], request: MappedRequest, context: MappingContext) -> MappedRequest:
    """Apply `requestParameters` to a request. Arguments are not modified."""
    headers, query = request.headers.copy(), request.query.copy()
    changed = replace(request, headers=headers, query=query)
    for key, expression in mapping.items():
        if key == "overwrite:path":
            path = evaluate_expression(expression, context)
            changed = replace(changed, path=path if path.startswith("/") else f"/{path}")
        elif match := _KEY.fullmatch(key):
            _apply_change(headers if match["place"] == "header" else query, match, expression, context)
    return changed


def map_response(changes: Mapping[str, str], status: int, context: MappingContext) -> tuple[int, CIMultiDict[str]]:
    """Apply the `responseParameters` of a response's status code; return the new status and headers."""
    headers = context.response_headers.copy()
    for key, expression in changes.items():
        if key == "overwrite:statuscode":
            status = int(evaluate_expression(expression, context))
        elif match := _KEY.fullmatch(key):
            _apply_change(headers, match, expression, context)
    return status, headers


def evaluate_expression(expression: str, context: MappingContext) -> str:
    """Replace each `$name` or `${name}` in an expression by its value, or by the empty string when it is absent."""
    return _EXPRESSION.sub(lambda match: _resolve_variable(match["braced"] or match["bare"], context), expression)


def _apply_change(target: MultiDict[str], match: re.Match[str], expression: str, context: MappingContext) -> None:
    name = match["name"]
    if match["how"] != "append":
        target.popall(name, None)
    if match["how"] != "remove":
        target.add(name, evaluate_expression(expression, context))


def _resolve_variable(name: str, context: MappingContext) -> str:
    source, _, rest = name.partition(".")
    part, _, item = rest.partition(".")
    match (source, part):
        case ("request", "header"):
            return ",".join(context.headers.getall(item, []))
        case ("request", "querystring"):
            return ",".join(context.query.getall(item, []))
        case ("request", "path"):
            return context.variables.get(item, "") if item else context.path
        case ("response", "header"):
            return ",".join(context.response_headers.getall(item, []))
        case ("stageVariables", _):
            return context.stage_variables.get(rest, "")
        case _:
            return context.context.get(rest, "")


def _check_header(name: str) -> None:
    lowered = name.lower()
    if lowered in _RESERVED or lowered.startswith(_RESERVED_PREFIXES):
        raise MappingError(f"Operations on header {name} are restricted")


def _check_expression(key: str, value: str) -> None:
    for match in _EXPRESSION.finditer(value):
        name = match["braced"] or match["bare"]
        if ".body" in name:
            raise MappingError(f"The embedded AWS does not map bodies: {key} = {value}")
        if not _KNOWN.fullmatch(name):
            raise MappingError(f"Invalid mapping expression specified: {key} = {value}")
