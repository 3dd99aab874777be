"""JSON lines on stdout, one per event. Rows and header values never go in."""

from __future__ import annotations

import logging
import sys
from typing import Any

import orjson
import structlog


def configure(level: str) -> structlog.typing.FilteringBoundLogger:
    """Set up the process's log and give it. What libraries log through `logging` comes out in the same form."""
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso"),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(serializer=_dumps),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.BytesLoggerFactory(sys.stdout.buffer),
        cache_logger_on_first_use=True,
    )
    log: structlog.typing.FilteringBoundLogger = structlog.get_logger()
    logging.basicConfig(handlers=[_Forward(log)], level=logging.WARNING)
    return log


def _dumps(line: dict[str, Any], **_: Any) -> bytes:
    first = {key: line.pop(key) for key in ("timestamp", "level", "event")}
    return orjson.dumps(first | line, default=str)


class _Forward(logging.Handler):
    """Passes a library's records on by their unformatted message: arguments may hold a client's data."""

    def __init__(self, log: structlog.typing.FilteringBoundLogger) -> None:
        super().__init__()
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[0].__name__ if record.exc_info and record.exc_info[0] else None
        self._log.warning("library", logger=record.name, message=str(record.msg), error=error)
