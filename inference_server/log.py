"""JSON log lines on stdout, one per event. They never contain rows or header values."""

from __future__ import annotations

import logging
import os
import traceback
from contextlib import suppress
from pathlib import Path
from typing import Any

import orjson
import structlog


def configure_logging(level: str) -> structlog.typing.FilteringBoundLogger:
    """Configure the process's log and return the logger. Records of libraries that use `logging` get the same form."""
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso"),
            structlog.processors.JSONRenderer(serializer=_dumps),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.BytesLoggerFactory(StdoutWriter()),  # type: ignore[arg-type]  # needs write and flush only
        cache_logger_on_first_use=True,
    )
    log: structlog.typing.FilteringBoundLogger = structlog.get_logger()
    logging.basicConfig(handlers=[_Forward(log)], level=logging.WARNING)
    return log


class StdoutWriter:
    """Writes to stdout without failing: if the reader has closed it, lines are lost.

    Unbuffered, so lines of workers don't mix and no data remains for the interpreter to flush at exit.
    """

    def write(self, data: bytes) -> int:
        """Write whole lines."""
        with suppress(OSError):
            os.write(1, data)
        return len(data)

    def flush(self) -> None:
        """Do nothing: no data is buffered."""


def describe_error(error: BaseException) -> dict[str, Any]:
    """Describe an error's type and origin without its message, which may quote a client's data."""
    trace = traceback.extract_tb(error.__traceback__)
    return {"error": type(error).__name__, "trace": [f"{Path(at.filename).name}:{at.lineno} {at.name}" for at in trace]}


def _dumps(line: dict[str, Any], **_: Any) -> bytes:
    first = {key: line.pop(key) for key in ("timestamp", "level", "event")}
    return orjson.dumps(first | line, default=str)


class _Forward(logging.Handler):
    """Forwards a library's records with their unformatted message: arguments may contain a client's data."""

    def __init__(self, log: structlog.typing.FilteringBoundLogger) -> None:
        super().__init__()
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        where = describe_error(record.exc_info[1]) if record.exc_info and record.exc_info[1] else {}
        first = str(record.msg).partition("\n")[0]
        self._log.warning("library", logger=record.name, message=first, **where)
