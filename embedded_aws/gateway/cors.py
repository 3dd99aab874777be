"""CORS for HTTP APIs: preflight answers, and the headers added to other answers.

Source: API Gateway developer guide, "Configure CORS for HTTP APIs". API Gateway answers preflight requests even without
an OPTIONS route, and ignores CORS headers from the integration.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from multidict import CIMultiDict

_PREFIX = "access-control-"


class CorsError(ValueError):
    """A CORS configuration that API Gateway would refuse."""


def check_configuration(cors: Mapping[str, Any]) -> None:
    """Raise CorsError when API Gateway would refuse the `CorsConfiguration` (botocore's shape)."""
    if cors.get("AllowCredentials") and any(
        "*" in cors.get(name, []) for name in ("AllowOrigins", "AllowMethods", "AllowHeaders")
    ):
        raise CorsError("allowCredentials can't be combined with a wildcard")
    if not -1 <= int(cors.get("MaxAge", 0)) <= 86400:
        raise CorsError("maxAge must be between -1 and 86400 seconds")


def is_preflight(method: str, headers: Mapping[str, str]) -> bool:
    """Return whether the request is a browser's preflight request."""
    return method == "OPTIONS" and "Origin" in headers and "Access-Control-Request-Method" in headers


def build_preflight_headers(cors: Mapping[str, Any], origin: str) -> CIMultiDict[str]:
    """Return the headers of the 204 answer to a preflight request; none for an origin that is not allowed."""
    headers = _origin_headers(cors, origin)
    if headers:
        _add_joined(headers, "Access-Control-Allow-Methods", cors.get("AllowMethods"))
        _add_joined(headers, "Access-Control-Allow-Headers", cors.get("AllowHeaders"))
        if cors.get("MaxAge"):
            headers["Access-Control-Max-Age"] = str(cors["MaxAge"])
    return headers


def replace_headers(cors: Mapping[str, Any], origin: str | None, headers: CIMultiDict[str]) -> None:
    """Replace the integration's CORS headers with the API's own."""
    for name in [name for name in headers if name.lower().startswith(_PREFIX)]:
        headers.popall(name, None)
    if origin is None:
        return
    added = _origin_headers(cors, origin)
    if added:
        _add_joined(added, "Access-Control-Expose-Headers", cors.get("ExposeHeaders"))
    headers.extend(added)


def _origin_headers(cors: Mapping[str, Any], origin: str) -> CIMultiDict[str]:
    allowed = cors.get("AllowOrigins") or []
    headers: CIMultiDict[str] = CIMultiDict()
    if "*" in allowed:
        headers["Access-Control-Allow-Origin"] = "*"
    elif origin in allowed or origin.split("://", 1)[0] + "://*" in allowed:
        headers["Access-Control-Allow-Origin"] = origin
        headers["Vary"] = "Origin"
    if headers and cors.get("AllowCredentials"):
        headers["Access-Control-Allow-Credentials"] = "true"
    return headers


def _add_joined(headers: CIMultiDict[str], name: str, values: list[str] | None) -> None:
    if values:
        headers[name] = ",".join(values)
