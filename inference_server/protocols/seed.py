"""`POST /` and `GET /healthcheck`: the exact contract of the seed, the Flask server that Moorage replaces.

The body is parsed as JSON, whatever its content type. `pred_x_csv` holds one row; of several, the first is answered.
Errors have status 400 and this contract's own shape. The one difference: the seed answered rows with too few or too
many values wrongly, and this server rejects them.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from ctypes import c_float

from inference_server import csv_rows
from inference_server.errors import RequestError, RowWidthError
from inference_server.http_messages import JSON, TEXT, HttpRequest, HttpResponse, PredictionRequest
from inference_server.model import Model
from inference_server.protocols.predict import parse_json

HEALTHY = HttpResponse(b"OK", TEXT)


class SeedError(RequestError):
    """An error with the seed's message; `media_type` is the form that the client requested."""

    code = "seed_contract"

    def __init__(self, message: str, media_type: str = JSON) -> None:
        super().__init__(message)
        self.media_type = media_type


class SeedProtocol:
    """Parses the seed's requests for one model."""

    def __init__(self, model: Model) -> None:
        self._signature = model.signature
        self._outputs = model.engine.outputs

    def read(self, request: HttpRequest) -> PredictionRequest:
        """Parse the one row. Raise SeedError."""
        try:
            document = parse_json(request.body)
        except RequestError as error:
            raise SeedError(error.message) from None
        if not isinstance(document, dict):
            raise SeedError("the body must be an object with 'pred_x_csv'")
        media_type = TEXT if document.get("response_content_type") == TEXT else JSON
        text = document.get("pred_x_csv", "")
        if not isinstance(text, str):
            raise SeedError("Invalid data in x columns", media_type)
        if not text.strip():
            raise SeedError("Empty string in x columns", media_type)
        try:
            rows = csv_rows.parse(self._signature, text.encode())
        except RowWidthError as error:
            raise SeedError(f"Invalid data in x columns: {error.message}", media_type) from None
        except RequestError:
            raise SeedError("Invalid data in x columns", media_type) from None
        return PredictionRequest(rows, lambda values: self._response(values, media_type))

    def _response(self, values: Sequence[float], media_type: str) -> HttpResponse:
        value = _format_values(values[: self._outputs])
        if media_type == TEXT:
            return HttpResponse(value.encode(), TEXT)
        return HttpResponse(json.dumps({"Predicted value": value}).encode())


def format_error(error: RequestError, _request_id: str) -> HttpResponse:
    """Format any error in the seed's shape."""
    if isinstance(error, SeedError) and error.media_type == TEXT:
        return HttpResponse(error.message.encode(), TEXT, 400)
    status = error.status if error.status >= 500 or error.status in {408, 413} else 400
    return HttpResponse(json.dumps({"Error": error.message}).encode(), JSON, status)


def _format_values(values: Sequence[float]) -> str:
    """Format as NumPy formats a 32-bit float, or an array of them: the fewest digits that round-trip."""
    texts = [_shortest_text(value) for value in values]
    return texts[0] if len(texts) == 1 else f"[{' '.join(texts)}]"


def _shortest_text(value: float) -> str:
    for digits in range(1, 9):
        text = f"{value:.{digits}g}"
        if c_float(float(text)).value == value:
            return repr(float(text))
    return repr(float(f"{value:.9g}"))
