"""The words between transport and protocols: a call comes in, a reply goes out, and a question lies between.

A protocol is one function from `Call` to `Question`: it reads rows out of a body and knows how to phrase predictions.
It never predicts, waits, or sees a socket, so each can be tested with plain values.
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

    `late` if it was sent while the server didn't listen to its connection, nobody knows how long ago.
    """

    body: bytes
    headers: Mapping[str, str]
    delayed: bool = False

    @property
    def media_type(self) -> str:
        """The body's media type in lower case, without parameters; empty if the client didn't say."""
        return self.headers.get("Content-Type", "").partition(";")[0].strip().lower()

    @property
    def accept(self) -> str:
        """The Accept header in lower case; empty if there is none."""
        return self.headers.get("Accept", "").lower()


@dataclass(frozen=True, slots=True)
class HttpResponse:
    """One answer, ready to be sent."""

    body: bytes
    media_type: str = JSON
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PredictionRequest:
    """Rows to predict, and how to phrase the values: `rows.count * model.engine.outputs` of them."""

    rows: Rows
    to_response: Callable[[Sequence[float]], HttpResponse]
