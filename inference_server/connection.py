"""One client's connection: aiohttp's, with a short way for the requests that a server of predictions lives on.

The short way is for a request that is here as a whole, on a connection that has nothing else under way, to a route that
answers by the batch. It needs no task, no future and no response object: its rows go to the batcher in the turn in which
they came, and the response is written in one piece when the batch is done. Parsing stays with aiohttp's parser, so a
request is the same request on either way, and whatever is uncommon takes the long way, which is aiohttp's own.

Nothing of routes, limits or errors is decided here. Of aiohttp's RequestHandler this uses, beside what is documented:
`_waiter` (the long way waits for a message), `_messages` (parsed, not begun), and what `start()` does as it takes one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from email.utils import formatdate
from functools import lru_cache
from http import HTTPStatus
from time import time
from typing import Any, Final, Protocol

from aiohttp import HttpVersion11, StreamReader, web
from aiohttp.http import RawRequestMessage

from inference_server.errors import STATUSES
from inference_server.options import Options

WriteResponse = Callable[[int, Mapping[str, str], bytes], None]  # status, headers, body
_PAUSE_SECONDS: Final = 0.5  # seconds; who takes Retry-After at its word never notices
_NEXT_ITERATION: Final = 0.001
_PHRASES: Final = {status: HTTPStatus(status).phrase for status in STATUSES}


class FastPathHandler(Protocol):
    """Who decides what becomes of requests."""

    def fast_path(
        self, message: RawRequestMessage, payload: StreamReader, delayed: bool
    ) -> Callable[[WriteResponse], None] | None:
        """Give what begins on a request that is here as a whole, None if it has to take the long way.

        What begins calls `Write` once: at once, or in a later turn. `late` says that the request may have been sent long
        before it was read.
        """

    def handle_parse_error(self, request: web.BaseRequest, error: BaseException | None) -> web.Response:
        """Answer what is no HTTP, or not within the limits of a head."""


class Connection(web.RequestHandler):
    """aiohttp's connection with the short way; what it can't parse is refused in our shape, and not a byte of it logged."""

    __slots__ = ("_busy", "_handler", "_head_timeout", "_head_timer", "_reads_paused", "_starting")

    def __init__(
        self, handler: FastPathHandler, server: web.Server, loop: asyncio.AbstractEventLoop, options: Options
    ) -> None:
        super().__init__(
            server,
            loop=loop,
            keepalive_timeout=options.keepalive,
            lingering_time=1.0,
            access_log=None,  # type: ignore[arg-type]  # documented as: no access log
        )
        self._handler, self._head_timeout = handler, options.head_timeout
        self._head_timer: asyncio.TimerHandle | None = None
        self._starting = False  # `_begin` is at work
        self._busy = False  # a request is on the short way, and not answered yet
        self._reads_paused = False  # the client has been told to come back later, and isn't listened to

    def data_received(self, data: bytes) -> None:
        """Parse, and let what is there begin. A head must end within its time, for which aiohttp has no limit."""
        waiter = self._waiter
        idle = waiter is not None and not waiter.done()  # if not, the long way takes what comes when it has done
        if idle:
            self._waiter = None  # so aiohttp only parses
        try:
            super().data_received(data)
        finally:
            if idle:
                self._waiter = waiter
        head_incomplete = idle and not self._busy and not self._messages  # all is read, and there is no request yet
        if head_incomplete != bool(self._head_timer):
            self._time_head(head_incomplete)
        if idle:
            self._start_requests()

    def _time_head(self, head_incomplete: bool) -> None:
        if self._head_timer:
            self._head_timer.cancel()
        self._head_timer = self._loop.call_later(self._head_timeout, self.force_close) if head_incomplete else None

    def _start_requests(self) -> None:
        """Let requests begin in their order: on the short way as long as that will do, else on the long one."""
        if not self._starting:  # what is refused at once comes by here again: thousands, and the stack would overflow
            self._starting = True
            try:
                self._start_queued()
            finally:
                self._starting = False

    def _start_queued(self) -> None:
        while self._messages and not self._busy:
            start = self._fast_path(*self._messages[0])
            if start is None:
                if self._waiter is not None and not self._waiter.done():
                    self._waiter.set_result(None)
                return
            self._busy = True
            self._next_keepalive_close_time = self._loop.time() + self._keepalive_timeout
            self._messages.popleft()
            if self._parser is not None:
                self._parser.message_consumed()
            if self._buffer_paused and len(self._messages) <= self._msg_queue_resume_size:
                self._resume_reading_if_drained()
            start(self._write)

    def _fast_path(self, message: Any, payload: StreamReader) -> Callable[[WriteResponse], None] | None:
        common = (
            isinstance(message, RawRequestMessage)
            and message.version == HttpVersion11
            and not (message.should_close or message.upgrade or message.compression or message.chunked)
            and payload.is_eof()
            and self._keepalive_handle is not None
            and not self.writing_paused  # the long way waits until the client reads
        )
        return self._handler.fast_path(message, payload, self._reads_paused) if common else None

    def _write(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        self._busy = False
        if self.transport is not None:  # the client may have gone
            self.transport.write(_head(status, headers, len(body)) + body)
            if "Retry-After" in headers:
                self._pause_reads()
        if self._messages:
            self._start_requests()

    def log_exception(self, *arguments: Any, **how: Any) -> None:
        """Log aiohttp's own failure, but not a body that it can't decode: that is answered, and not worth a line each."""
        if not isinstance(how.get("exc_info"), web.RequestPayloadError):
            super().log_exception(*arguments, **how)

    def _pause_reads(self) -> None:
        """Leave in the socket for a while what a client sends who has been told not to."""
        self._reads_paused = True
        self._pause_reading_for_buffer()
        self._loop.call_later(_PAUSE_SECONDS, self._resume_reads)

    def _resume_reads(self) -> None:
        self._resume_reading_for_buffer()
        # What has come meanwhile is read before a timer that begins now can end: only that is late.
        self._loop.call_later(_NEXT_ITERATION, self._clear_paused)

    def _clear_paused(self) -> None:
        self._reads_paused = self._buffer_paused

    def handle_error(
        self, request: web.BaseRequest, status: int = 500, exc: BaseException | None = None, message: str | None = None
    ) -> web.StreamResponse:
        """Answer what is no HTTP, or not within the limits of a head."""
        del status, message  # they quote the client
        return self._handler.handle_parse_error(request, exc)


def _head(status: int, headers: Mapping[str, str], length: int) -> bytes:
    """Write a response's head. Names and values are ours, or have been found decent."""
    lines = "".join([f"{name}: {value}\r\n" for name, value in headers.items()])
    date = _date(int(time()))
    return f"HTTP/1.1 {status} {_PHRASES[status]}\r\n{lines}Content-Length: {length}\r\nDate: {date}\r\n\r\n".encode()


@lru_cache(1)
def _date(second: int) -> str:
    return formatdate(second, usegmt=True)
