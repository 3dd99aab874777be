"""Structured logging, and the redaction that every line passes through last.

The log is JSON on stderr, or readable lines if stderr is a terminal; stdout belongs to data. Texts outside of the log
(errors) use `redact_text`.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, MutableMapping
from typing import Any, TextIO

import structlog

REDACTED = "[redacted]"

_SECRET_KEY = re.compile(
    r"secret|passw(or)?d|passphrase|token|authorization|credential|cookie|api[-_]?key|private[-_]?key",
    re.IGNORECASE,
)
# Names that look secret and aren't: references, paging and idempotency.
_HARMLESS_KEY = re.compile(r"^(next|client|continuation|creator)[-_]?(request[-_]?)?token$|arn$", re.IGNORECASE)
_SECRET_TEXTS = (
    # Key ids of users and of sessions, https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_identifiers.html
    re.compile(r"\b(?:AKIA|ASIA)[A-Z0-9]{12,}\b"),
    # Session tokens begin with the encoded words of AWS's own header.
    re.compile(r"\b(?:IQoJ|FwoG|FQoG|AQoD)[A-Za-z0-9+/=_-]{40,}"),
    re.compile(r"(?<=X-Amz-Security-Token=)[^&\s\"']+|(?<=X-Amz-Signature=)[^&\s\"']+", re.IGNORECASE),
    re.compile(r"(?i)(?<=bearer )[^\s\"',]+|(?<=basic )[A-Za-z0-9+/=]{12,}|(?<=AWS4-HMAC-SHA256 )[^\r\n\"]+"),
    re.compile(
        r"(?i)(?<=secret_access_key=)[^\s\"'&,]+|(?<=session_token=)[^\s\"'&,]+|(?<=password=)[^\s\"'&,]+|(?<=token=)[^\s\"'&,]+"
    ),
    re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?-----END [A-Z ]*PRIVATE KEY-----", re.DOTALL),
)


def redact_text(text: str) -> str:
    """Replace text in the form of a secret: key ids, session tokens, signatures, authorization values."""
    for pattern in _SECRET_TEXTS:
        text = pattern.sub(REDACTED, text)
    return text


def redact(value: Any, key: str = "") -> Any:
    """Return a copy of `value` without secrets, found by a key's name, by their form, or as SSM SecureStrings."""
    if key and value is not None and _SECRET_KEY.search(key) and not _HARMLESS_KEY.search(key):
        return REDACTED
    if value is None or isinstance(value, int | float):
        return value
    if isinstance(value, bytes):
        return f"<{len(value)} bytes>"
    if isinstance(value, Mapping):
        secure = value.get("Type") == "SecureString"
        return {
            str(name): REDACTED if secure and name == "Value" else redact(item, str(name))
            for name, item in value.items()
        }
    if isinstance(value, list | tuple | set | frozenset):
        return [redact(item) for item in value]
    return redact_text(str(value))


def _redact_event(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> Mapping[str, Any]:
    cleaned: dict[str, Any] = redact(event)
    return cleaned


def configure_logging(*, stream: TextIO | None = None, level: int = 20) -> None:
    """Set up structlog for the process. `level` is a number of the logging module: 10 debug, 20 info, 30 warning."""
    out = stream if stream is not None else sys.stderr
    renderer = structlog.dev.ConsoleRenderer() if out.isatty() else structlog.processors.JSONRenderer(sort_keys=True)
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            _redact_event,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(out),
        cache_logger_on_first_use=False,
    )
