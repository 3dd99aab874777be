"""What can go wrong: at start (the process ends), or in one request (the client is told).

    StartError           the process can't serve; the message says what, where and what next
    RequestError         the client is told: status, code, message, and the field where there is one
    ├── MalformedError       400  the body can't be read
    ├── NotFoundError        404  nothing is at this path
    ├── MethodError          405  the path is right, the method isn't; `allowed` says which are
    ├── NotAcceptableError   406  no answer in a form that the client takes
    ├── SlowBodyError        408  the body took too long to arrive
    ├── TooLargeError        413  the body is above the limit
    ├── UnsupportedError     415  the body's media type isn't known here
    ├── InvalidError         422  read, but it does not fit the model's signature
    │   └── WidthError           a row with too few or too many values
    ├── TooManyRowsError     422  more rows than one request may have
    ├── HeaderTooLargeError  431  the request line or a header is above the limit
    ├── InternalError        500  our fault
    ├── UnavailableError     503  not now: the server is about to stop
    ├── OverloadedError      503  not now: too many wait already; Retry-After says when
    └── SlowAnswerError      504  the answer took too long

Nothing here knows HTTP beyond the numbers. Messages name fields and positions, never more of a row than one value.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar, Final

# Every status that an answer can have.
STATUSES: Final = (200, 400, 404, 405, 406, 408, 413, 415, 422, 431, 500, 503, 504)


class StartupError(Exception):
    """The process can't serve: a missing, damaged or unsuitable bundle, or an unsuitable library."""


class RequestError(Exception):
    """One request can't be answered. `field` is the place in the body: `instances[3].longitude`."""

    status: ClassVar[int] = 400
    code: ClassVar[str] = "bad_request"

    def __init__(self, message: str, field: str = "") -> None:
        super().__init__(message)
        self.message, self.field = message, field


class MalformedError(RequestError):
    """The body can't be read as what it says it is."""

    code = "malformed"


class NotFoundError(RequestError):
    """Nothing is at this path."""

    status = 404
    code = "not_found"


class MethodNotAllowedError(RequestError):
    """The path is right, the method isn't."""

    status = 405
    code = "method_not_allowed"

    def __init__(self, allowed: Iterable[str]) -> None:
        self.allowed = ", ".join(allowed)
        super().__init__(f"this path takes {self.allowed}")


class BodyTimeoutError(RequestError):
    """The body took too long to arrive."""

    status = 408
    code = "body_timeout"


class NotAcceptableError(RequestError):
    """The Accept header leaves nothing that could be answered."""

    status = 406
    code = "not_acceptable"


class BodyTooLargeError(RequestError):
    """The body is above the limit."""

    status = 413
    code = "body_too_large"


class UnsupportedMediaTypeError(RequestError):
    """The body's media type isn't known at this route."""

    status = 415
    code = "unsupported_media_type"


class InvalidInputError(RequestError):
    """The body could be read, and does not fit the model's signature."""

    status = 422
    code = "invalid_input"


class RowWidthError(InvalidInputError):
    """A row with fewer or more values than the model has features."""


class TooManyRowsError(RequestError):
    """More rows than one request may have."""

    status = 422
    code = "too_many_rows"


class HeaderTooLargeError(RequestError):
    """The request line or a header is above the limit."""

    status = 431
    code = "header_too_large"


class InternalError(RequestError):
    """Our fault; the log has the cause."""

    status = 500
    code = "internal"


class UnavailableError(RequestError):
    """Not now: the server is about to stop."""

    status = 503
    code = "unavailable"


class OverloadedError(RequestError):
    """Not now: too many requests wait already."""

    status = 503
    code = "overloaded"
    retry_after: ClassVar[int] = 1  # seconds


class AnswerTimeoutError(RequestError):
    """The answer took longer than a request may."""

    status = 504
    code = "answer_timeout"
