"""One client connection: aiohttp's request handler, with a fast path for prediction requests.

The fast path serves a request that has arrived completely, on a connection without other requests in progress, for a
batched route. It needs no task, future or response object: its rows go to the batcher in the iteration that read them,
and one write sends the response when the batch is done. aiohttp's parser parses every request, so both paths see the
same request. Uncommon requests take aiohttp's regular path.

Routes, limits and errors are decided elsewhere. Besides aiohttp's documented API, this module uses RequestHandler's
`_waiter` (the regular path waits for a message), its `_messages` (parsed, not started), and the steps by which
`start()` takes a message.
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
_PAUSE_SECONDS: Final = 0.5  # a client that honours Retry-After never notices
_NEXT_ITERATION: Final = 0.001
_PHRASES: Final = {status: HTTPStatus(status).phrase for status in STATUSES}


class FastPathHandler(Protocol):
    """The decisions about requests that a connection delegates."""

    def fast_path(
        self, message: RawRequestMessage, payload: StreamReader, delayed: bool
    ) -> Callable[[WriteResponse], None] | None:
        """Return a function that starts a complete request, None if it must take the regular path.

        The function calls its WriteResponse argument once, immediately or in a later iteration. `delayed` marks a
        request that may have been sent long before it was read.
        """

    def handle_parse_error(self, request: web.BaseRequest, error: BaseException | None) -> web.Response:
        """Answer a request that isn't valid HTTP or whose head exceeds a limit."""


class Connection(web.RequestHandler):
    """aiohttp's request handler with the fast path.

    Unparsable requests get this server's error shape, and none of their bytes are logged.
    """

    __slots__ = ("_busy", "_handler", "_head_timeout", "_head_timer", "_reads_paused", "_starting")

    def __init__(
        self, handler: FastPathHandler, server: web.Server, loop: asyncio.AbstractEventLoop, options: Options
    ) -> None:
        super().__init__(
            server,
            loop=loop,
            keepalive_timeout=options.keepalive,
            lingering_time=1.0,
            access_log=None,  # type: ignore[arg-type]  # documented: None disables the access log
        )
        self._handler, self._head_timeout = handler, options.head_timeout
        self._head_timer: asyncio.TimerHandle | None = None
        self._starting = False  # `_start_requests` is running
        self._busy = False  # a request on the fast path isn't answered yet
        self._reads_paused = False  # the client got a Retry-After, and its data isn't read

    def data_received(self, data: bytes) -> None:
        """Parse the data and start complete requests. Limit the time of a request head, which aiohttp doesn't."""
        waiter = self._waiter
        idle = waiter is not None and not waiter.done()  # if not, the regular path takes further data when done
        if idle:
            self._waiter = None  # makes aiohttp only parse
        try:
            super().data_received(data)
        finally:
            if idle:
                self._waiter = waiter
        # All data is parsed, but no request is complete.
        head_incomplete = idle and not self._busy and not self._messages
        if head_incomplete != bool(self._head_timer):
            self._time_head(head_incomplete)
        if idle:
            self._start_requests()

    def _time_head(self, head_incomplete: bool) -> None:
        if self._head_timer:
            self._head_timer.cancel()
        self._head_timer = self._loop.call_later(self._head_timeout, self.force_close) if head_incomplete else None

    def _start_requests(self) -> None:
        """Start requests in order: on the fast path while possible, otherwise on the regular path."""
        if not self._starting:  # an immediate rejection re-enters here; thousands would overflow the stack
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
            and not self.writing_paused  # the regular path waits until the client reads
        )
        return self._handler.fast_path(message, payload, self._reads_paused) if common else None

    def _write(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        self._busy = False
        if self.transport is not None:  # the client may have disconnected
            self.transport.write(_head(status, headers, len(body)) + body)
            if "Retry-After" in headers:
                self._pause_reads()
        if self._messages:
            self._start_requests()

    def log_exception(self, *arguments: Any, **how: Any) -> None:
        """Log aiohttp's own failures, except bodies that can't be decoded: the client gets an answer instead."""
        if not isinstance(how.get("exc_info"), web.RequestPayloadError):
            super().log_exception(*arguments, **how)

    def _pause_reads(self) -> None:
        """Pause reading for a while after a rejection, so that the client's further data stays in the socket."""
        self._reads_paused = True
        self._pause_reading_for_buffer()
        self._loop.call_later(_PAUSE_SECONDS, self._resume_reads)

    def _resume_reads(self) -> None:
        self._resume_reading_for_buffer()
        # Data that arrived during the pause is read before this timer fires: only that data is delayed.
        self._loop.call_later(_NEXT_ITERATION, self._clear_paused)

    def _clear_paused(self) -> None:
        self._reads_paused = self._buffer_paused

    def handle_error(
        self, request: web.BaseRequest, status: int = 500, exc: BaseException | None = None, message: str | None = None
    ) -> web.StreamResponse:
        """Answer a request that isn't valid HTTP or whose head exceeds a limit."""
        del status, message  # they quote client data
        return self._handler.handle_parse_error(request, exc)


def _head(status: int, headers: Mapping[str, str], length: int) -> bytes:
    """Serialize the head of a response. All names and values are the server's own or validated."""
    lines = "".join([f"{name}: {value}\r\n" for name, value in headers.items()])
    date = _date(int(time()))
    return f"HTTP/1.1 {status} {_PHRASES[status]}\r\n{lines}Content-Length: {length}\r\nDate: {date}\r\n\r\n".encode()


@lru_cache(1)
def _date(second: int) -> str:
    return formatdate(second, usegmt=True)
