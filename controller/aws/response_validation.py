"""Refuse responses that botocore would take for empty ones.

botocore doesn't compare the number of bytes with Content-Length, and reads a body that isn't JSON as `{}`. A truncated
response, or a proxy's page in its place, would then say that a resource is absent.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from botocore.exceptions import IncompleteReadError
from botocore.parsers import ResponseParserError


def validate_response(operation_model: Any, response_dict: Mapping[str, Any], **_: Any) -> None:
    """Handle botocore's `before-parse`: raise IncompleteReadError or ResponseParserError for an incomplete body."""
    body = response_dict["body"]
    if not isinstance(body, bytes) or operation_model.http.get("method") == "HEAD":
        return
    promised = response_dict["headers"].get("content-length", "")
    if promised.isdecimal() and int(promised) != len(body):
        raise IncompleteReadError(actual_bytes=len(body), expected_bytes=int(promised))
    if (
        _expects_json(operation_model)
        and response_dict["status_code"] < 300
        and body.lstrip()[:1] not in (b"", b"{", b"[")
    ):
        raise ResponseParserError(f"{operation_model.name} was answered with something that is no JSON")


def _expects_json(operation_model: Any) -> bool:
    output = operation_model.output_shape
    raw = output is not None and "payload" in output.serialization
    return operation_model.service_model.resolved_protocol in ("json", "rest-json") and not raw
