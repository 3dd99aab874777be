"""The HTML page at `/` and its files: plain HTML, CSS and JavaScript, without a build step.

The page uses the same routes as any other client. This module knows nothing of models.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from inference_server.http_messages import HttpResponse

_HERE: Final = Path(__file__).parent
_FILES: Final = {
    "/": ("index.html", "text/html; charset=utf-8"),
    "/page.css": ("page.css", "text/css; charset=utf-8"),
    "/page.js": ("page.js", "text/javascript; charset=utf-8"),
    "/icon.svg": ("icon.svg", "image/svg+xml"),
}
_POLICY: Final = {
    "default-src": "'none'",
    "script-src": "'self'",
    "style-src": "'self'",
    "img-src": "'self'",
    "connect-src": "'self'",
    "base-uri": "'none'",
    "form-action": "'none'",
    "frame-ancestors": "'none'",
    "require-trusted-types-for": "'script'",
}
HEADERS: Final = {
    "Content-Security-Policy": "; ".join(f"{name} {value}" for name, value in _POLICY.items()),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}


def load_files() -> Mapping[str, HttpResponse]:
    """Read the page's files; return path → response."""
    return {
        path: HttpResponse((_HERE / name).read_bytes(), media_type, 200, HEADERS)
        for path, (name, media_type) in _FILES.items()
    }
