"""The types between transport and protocols: HTTP request, HTTP response, and the prediction request between them.

A protocol is one function from `HttpRequest` to `PredictionRequest`: it parses rows from a body and knows how to format
predictions. It never predicts, waits or uses a socket, so plain values suffice to test it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from inference_server.signature import Rows

JSON: Final = "application/json"
TEXT: Final = "text/plain"
CSV: Final = "text/csv"
JSON_LINES: Final = frozenset(
    {"application/jsonlines", "application/x-jsonlines", "application/jsonl", "application/x-ndjson"}
)


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """One request: its whole body, and its headers (case-insensitive).

    `delayed` marks a request that was sent, at an unknown time, while the server had paused reading its connection.
    """

    body: bytes
    headers: Mapping[str, str]
    delayed: bool = False

    @property
    def media_type(self) -> str:
        """Media type of the body in lower case, without parameters; empty if the client sent none."""
        return self.headers.get("Content-Type", "").partition(";")[0].strip().lower()

    @property
    def accept(self) -> str:
        """The Accept header in lower case; empty if absent."""
        return self.headers.get("Accept", "").lower()


@dataclass(frozen=True, slots=True)
class HttpResponse:
    """One response, ready to be sent."""

    body: bytes
    media_type: str = JSON
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PredictionRequest:
    """Rows to predict, and the function that formats their `rows.count * model.engine.outputs` values."""

    rows: Rows
    to_response: Callable[[Sequence[float]], HttpResponse]
