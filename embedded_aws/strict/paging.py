"""Pages of a list, for operations that moto doesn't page as AWS does."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any

from embedded_aws.api_call import ApiError


def build_page(
    items: Sequence[Any],
    params: Mapping[str, Any],
    key: str,
    default: int,
    *,
    size_parameter: str = "MaxResults",
    token_parameter: str = "NextToken",  # noqa: S107  (AWS's word for where a page ends)
    error_code: str = "ValidationException",
) -> dict[str, Any]:
    """Return the page that `params` asks for under `key`, with the next page's token if there is one.

    Sizes are numbers or, in API Gateway, strings. Raises ApiError with `error_code` for an invalid size or token.
    """
    try:
        start = _decode_token(params[token_parameter]) if params.get(token_parameter) else 0
        end = start + int(params.get(size_parameter) or default)
    except ValueError as error:
        raise ApiError(error_code, f"Invalid {token_parameter} or {size_parameter}.") from error
    more = {token_parameter: base64.b64encode(f"offset:{end}".encode()).decode()} if end < len(items) else {}
    return {key: list(items[start:end]), **more}


def _decode_token(token: str) -> int:
    return int(base64.b64decode(token, validate=True).decode().removeprefix("offset:"))
