"""All errors: at startup (the process exits) and of one request (the client gets an error response).

    StartupError         the process can't serve; the message says what, where and what to do
    RequestError         the client gets status, code, message, and the field if there is one
    ├── MalformedError             400  the body can't be parsed
    ├── NotFoundError              404  no route at this path
    ├── MethodNotAllowedError      405  the path exists, but not for this method; `allowed` lists the methods
    ├── NotAcceptableError         406  no supported media type matches the Accept header
    ├── BodyTimeoutError           408  the body took too long to arrive
    ├── BodyTooLargeError          413  the body exceeds the limit
    ├── UnsupportedMediaTypeError  415  the route doesn't support the body's media type
    ├── InvalidInputError          422  the body is parsed, but doesn't fit the model's signature
    │   └── RowWidthError               a row with too few or too many values
    ├── TooManyRowsError           422  more rows than the limit per request
    ├── HeaderTooLargeError        431  the request line or a header exceeds the limit
    ├── InternalError              500  a defect of the server
    ├── UnavailableError           503  the server is shutting down
    ├── OverloadedError            503  too many requests are waiting; Retry-After says when to retry
    └── AnswerTimeoutError         504  the answer took too long

This module knows HTTP's status numbers and nothing else of HTTP. Messages name fields and positions, and quote at most
one value of a row.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar, Final

# Every possible status of a response.
STATUSES: Final = (200, 400, 404, 405, 406, 408, 413, 415, 422, 431, 500, 503, 504)


class StartupError(Exception):
    """The process can't serve: a missing, damaged or unsuitable bundle, or an unsuitable library."""


class RequestError(Exception):
    """A request that can't be answered. `field` is the position in the body: `instances[3].longitude`."""

    status: ClassVar[int] = 400
    code: ClassVar[str] = "bad_request"

    def __init__(self, message: str, field: str = "") -> None:
        super().__init__(message)
        self.message, self.field = message, field


class MalformedError(RequestError):
    """A body that can't be parsed in its declared format."""

    code = "malformed"


class NotFoundError(RequestError):
    """No route exists at this path."""

    status = 404
    code = "not_found"


class MethodNotAllowedError(RequestError):
    """The path exists, but not for this method."""

    status = 405
    code = "method_not_allowed"

    def __init__(self, allowed: Iterable[str]) -> None:
        self.allowed = ", ".join(allowed)
        super().__init__(f"this path accepts {self.allowed}")


class BodyTimeoutError(RequestError):
    """The body took too long to arrive."""

    status = 408
    code = "body_timeout"


class NotAcceptableError(RequestError):
    """No supported media type matches the Accept header."""

    status = 406
    code = "not_acceptable"


class BodyTooLargeError(RequestError):
    """The body exceeds the limit."""

    status = 413
    code = "body_too_large"


class UnsupportedMediaTypeError(RequestError):
    """The route doesn't support the body's media type."""

    status = 415
    code = "unsupported_media_type"


class InvalidInputError(RequestError):
    """The body was parsed, but doesn't fit the model's signature."""

    status = 422
    code = "invalid_input"


class RowWidthError(InvalidInputError):
    """A row with fewer or more values than the model has features."""


class TooManyRowsError(RequestError):
    """More rows than the limit per request."""

    status = 422
    code = "too_many_rows"


class HeaderTooLargeError(RequestError):
    """The request line or a header exceeds the limit."""

    status = 431
    code = "header_too_large"


class InternalError(RequestError):
    """A defect of the server; the log has the cause."""

    status = 500
    code = "internal"


class UnavailableError(RequestError):
    """The server is shutting down."""

    status = 503
    code = "unavailable"


class OverloadedError(RequestError):
    """Too many requests are waiting."""

    status = 503
    code = "overloaded"
    retry_after: ClassVar[int] = 1  # seconds


class AnswerTimeoutError(RequestError):
    """The answer took longer than the limit."""

    status = 504
    code = "answer_timeout"
