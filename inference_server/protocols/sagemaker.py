"""`POST /invocations` and `GET /ping`: the contract of a SageMaker inference container.

Input is CSV, libsvm, JSON or JSON lines. The Accept header selects the output, by default CSV: one line or one object
per row, in the shapes of SageMaker's own XGBoost container. Its libsvm columns count from 0; omitted columns are
missing. Source: "Common data formats for inference" in the SageMaker developer guide, and the container's repository.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import orjson

from inference_server import csv_rows
from inference_server.errors import InvalidInputError, MalformedError, NotAcceptableError
from inference_server.http_messages import CSV, JSON, JSON_LINES, TEXT, HttpRequest, HttpResponse, PredictionRequest
from inference_server.model import Model
from inference_server.protocols.predict import PredictProtocol, group_by_row
from inference_server.signature import Rows, Signature

_LIBSVM: Final = frozenset({"text/libsvm", "text/x-libsvm"})
PONG: Final = HttpResponse(b"", TEXT)


class InvocationsProtocol:
    """Parses `/invocations` requests for one model."""

    def __init__(self, model: Model) -> None:
        self._signature = model.signature
        self._outputs = model.engine.outputs
        self._rows = PredictProtocol(model).rows

    def read(self, request: HttpRequest) -> PredictionRequest:
        """Parse the body. Raise a RequestError with the position of the error."""
        media_type = choose_media_type(request.accept)
        write = _WRITERS[media_type]
        rows = (
            _parse_libsvm(self._signature, request.body)
            if request.media_type in _LIBSVM
            else self._rows(_csv_by_default(request))
        )
        return PredictionRequest(
            rows, lambda values: HttpResponse(write(group_by_row(values, self._outputs)), media_type)
        )


def choose_media_type(accept: str) -> str:
    """Choose the output's media type from an Accept header, in the client's order of preference; CSV if it is empty."""
    ranges = [_preference(part) for part in accept.split(",")] if accept.strip() else [(1.0, "*/*")]
    for quality, accepted in sorted(ranges, key=lambda each: -each[0]):
        if quality > 0:
            for media_type in _WRITERS:
                if accepted in {media_type, "*/*", media_type.partition("/")[0] + "/*"}:
                    return media_type
    raise NotAcceptableError(f"no supported media type matches Accept; supported: {', '.join(_WRITERS)}")


def _preference(part: str) -> tuple[float, str]:
    media_type, *parameters = (word.strip() for word in part.split(";"))
    for parameter in parameters:
        if parameter.startswith("q="):
            try:
                return float(parameter[2:]), media_type
            except ValueError:
                return 0.0, media_type
    return 1.0, media_type


def _csv_by_default(request: HttpRequest) -> HttpRequest:
    return request if request.media_type else HttpRequest(request.body, {**request.headers, "Content-Type": CSV})


def _to_csv(rows: Sequence[Any]) -> bytes:
    return "".join(f"{','.join(map(repr, row)) if isinstance(row, list) else repr(row)}\n" for row in rows).encode()


def _to_json(rows: Sequence[Any]) -> bytes:
    return orjson.dumps({"predictions": [{"score": row} for row in rows]})


def _to_json_lines(rows: Sequence[Any]) -> bytes:
    return b"".join(orjson.dumps({"score": row}, option=orjson.OPT_APPEND_NEWLINE) for row in rows)


# In order of the server's preference.
_WRITERS: Final[Mapping[str, Callable[[Sequence[Any]], bytes]]] = {
    CSV: _to_csv,
    JSON: _to_json,
    **dict.fromkeys(sorted(JSON_LINES), _to_json_lines),
}


def _parse_libsvm(signature: Signature, body: bytes) -> Rows:
    """Parse rows of `[label] column:value …`."""
    try:
        lines = body.decode().strip().splitlines()
    except UnicodeDecodeError as error:
        raise MalformedError(f"the body is not UTF-8 text (byte {error.start})") from None
    if not lines:
        raise InvalidInputError("the body has no rows", "line")
    values: list[float] = []
    for parse_number, line in enumerate(lines, 1):
        values += _parse_libsvm_row(signature.width, line.split(), f"line {parse_number}")
    return signature.pack(values, "row")


def _parse_libsvm_row(width: int, words: Sequence[str], where: str) -> list[float]:
    if words and ":" not in words[0]:
        _number(words[0], words[0], where)  # the label
        words = words[1:]
    if not words:
        raise InvalidInputError("has no column:value", where)
    values: dict[int, float] = {}
    for word in words:
        column, _, value = word.partition(":")
        if not column.isdecimal() or int(column) >= width:
            raise InvalidInputError(f"has column {column[:40]!r}; the model has columns 0 to {width - 1}", where)
        values[int(column)] = _number(value, word, where)
    if len(values) < len(words):
        raise InvalidInputError("has a duplicate column", where)
    return [values.get(column, math.nan) for column in range(width)]


def _number(text: str, word: str, where: str) -> float:
    try:
        return csv_rows.parse_number(text)
    except ValueError:
        raise InvalidInputError(f"has {word[:40]!r} where column:value is expected", where) from None
