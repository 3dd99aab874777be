"""Pages of a list, for the operations that moto doesn't list rightly."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any

from embedded_aws.call import Refused


def page(
    items: Sequence[Any],
    params: Mapping[str, Any],
    key: str,
    default: int,
    *,
    size: str = "MaxResults",
    token: str = "NextToken",  # noqa: S107  (AWS's word for where a page ends)
    refusal: str = "ValidationException",
) -> dict[str, Any]:
    """Return the page that `params` asks for under `key`, and the token of the next one when there is one.

    Sizes are numbers or, in API Gateway, texts. Raises Refused with the code `refusal` when size or token is none.
    """
    try:
        start = _decoded(params[token]) if params.get(token) else 0
        end = start + int(params.get(size) or default)
    except ValueError as wrong:
        raise Refused(refusal, f"Invalid {token} or {size}.") from wrong
    more = {token: base64.b64encode(f"offset:{end}".encode()).decode()} if end < len(items) else {}
    return {key: list(items[start:end]), **more}


def _decoded(token: str) -> int:
    return int(base64.b64decode(token, validate=True).decode().removeprefix("offset:"))
