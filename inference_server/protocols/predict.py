"""`POST /predict`: JSON instances, CSV or JSON lines in; JSON predictions with the model's identity out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import orjson

from inference_server import csv_rows
from inference_server.errors import InvalidInputError, MalformedError, UnsupportedMediaTypeError
from inference_server.http_messages import CSV, JSON, JSON_LINES, HttpRequest, HttpResponse, PredictionRequest
from inference_server.model import Model
from inference_server.signature import Rows

# curl's default media type is read as JSON: the parser rejects a wrong guess.
_READ_AS_JSON: Final = frozenset({JSON, "", "application/x-www-form-urlencoded"})


class PredictProtocol:
    """Parses `/predict` requests for one model."""

    def __init__(self, model: Model) -> None:
        self._signature = model.signature
        self._outputs = model.engine.outputs
        self._colons = sum(1 + name.count(":") for name in model.signature.names)
        identity = {"name": model.manifest.name, "version": model.manifest.version}
        self._end = b',"model":' + orjson.dumps(identity) + b"}"

    def read(self, request: HttpRequest) -> PredictionRequest:
        """Parse the body. Raise a RequestError with the position of the error."""
        return PredictionRequest(self.rows(request), self._response)

    def rows(self, request: HttpRequest) -> Rows:
        """Parse the rows of a body in any supported media type."""
        media_type = request.media_type
        if media_type in _READ_AS_JSON:
            document = parse_json(request.body)
            return self._read(_instances(document), "instances", request.body, isinstance(document, dict))
        if media_type == CSV:
            return csv_rows.parse(self._signature, request.body)
        if media_type in JSON_LINES:
            return self._read(parse_json_lines(request.body), "line", request.body)
        raise UnsupportedMediaTypeError(f"{media_type!r} is not supported; send {JSON}, {CSV} or application/jsonlines")

    def _read(self, instances: Sequence[Any], where: str, body: bytes, names: int = 0) -> Rows:
        """Pack instances. Raise InvalidInputError also for a duplicate name, since a JSON parser keeps only the last.

        In valid input, only names are strings. So a valid body has exactly as many colons as its names require.
        `names` counts the names outside the instances.
        """
        rows = self._signature.rows(instances, where)
        if isinstance(instances[0], dict):
            names += rows.count * self._colons
        if body.count(b":") > names:
            raise InvalidInputError("an object has a duplicate name", where)
        return rows

    def _response(self, values: Sequence[float]) -> HttpResponse:
        return HttpResponse(b'{"predictions":' + orjson.dumps(group_by_row(values, self._outputs)) + self._end)


def group_by_row(values: Sequence[float], outputs: int) -> Sequence[Any]:
    """Return one value per row, or one list per row if predictions have several values."""
    if outputs == 1:
        return values
    return [values[start : start + outputs] for start in range(0, len(values), outputs)]


def parse_json(body: bytes) -> Any:
    """Parse JSON. Raise MalformedError with the position, never with content of the body."""
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise MalformedError(
            f"the body is not JSON: {error.msg} at line {error.lineno}, column {error.colno}"
        ) from None


def parse_json_lines(body: bytes) -> list[Any]:
    """Parse one JSON value per line; skip empty lines."""
    values = []
    for parse_number, line in enumerate(body.split(b"\n"), 1):
        if line.strip():
            try:
                values.append(orjson.loads(line))
            except orjson.JSONDecodeError as error:
                raise MalformedError(
                    f"is not JSON: {error.msg} at column {error.colno}", f"line {parse_number}"
                ) from None
    return values


def _instances(document: Any) -> list[Any]:
    if isinstance(document, dict):
        for name in document.keys() - {"instances"}:
            raise InvalidInputError(f"unknown member {name[:80]!r}; the body has one member, 'instances'", name[:80])
        if "instances" not in document:
            raise InvalidInputError("the body has no member 'instances'", "instances")
        document = document["instances"]
    if not isinstance(document, list):
        raise InvalidInputError("must be a list of rows", "instances")
    return document
