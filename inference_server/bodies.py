"""Reads bodies within limits: the size of one, the time it may take, and the bytes of all that are held at once.

A body stays in memory from its first byte until it is answered. Without the last limit, a few hundred large requests
at once would take more memory than a small container has, each of them well within its own limit.
"""

from __future__ import annotations

import asyncio
from typing import Final

from aiohttp import StreamReader, web

from inference_server.errors import MalformedError, OverloadedError, SlowBodyError, TooLargeError
from inference_server.options import Options

# Smaller bodies aren't counted: the number of connections bounds them well enough.
_SMALL: Final = 64 * 1024
_CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"


class Bodies:
    """The limits of one process, and how many bytes its large bodies hold now."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.held = 0


class Body:
    """One request's body. Whoever opens it closes it when the request is answered."""

    __slots__ = ("_all", "_claimed")

    def __init__(self, bodies: Bodies) -> None:
        self._all, self._claimed = bodies, 0

    def close(self) -> None:
        """Give back the memory."""
        self._all.held -= self._claimed

    async def read(self, request: web.BaseRequest) -> bytes:
        """Read it whole. Raise a RequestError for a limit that it meets, or if it is broken."""
        try:
            return await self._read(request)
        except (web.RequestPayloadError, ConnectionError):  # its client may have gone: then nobody hears of it
            raise MalformedError("the body can't be decoded or is incomplete") from None

    async def _read(self, request: web.BaseRequest) -> bytes:
        if (announced := request.content_length) is None:
            _check_coding(request)
        self._claim(announced or 0)
        content = request.content
        if content.is_eof():
            return await self._rest(content)
        if request.headers.get("Expect", "").lower() == "100-continue":
            await request.writer.write(_CONTINUE)
            request.writer.output_size = 0  # aiohttp reads it as: the response has not begun
        seconds = self._all.options.body_timeout
        try:
            async with asyncio.timeout(seconds):
                return await self._rest(content)
        except TimeoutError:
            raise SlowBodyError(f"the body didn't arrive within {seconds:g} s") from None

    async def _rest(self, content: StreamReader) -> bytes:
        first = await content.readany()
        self._claim(len(first))
        body = None
        # How long a chunked body is, and how long a compressed one grows, shows only on the way.
        while chunk := await content.readany():
            body = bytearray(first) if body is None else body
            body += chunk
            self._claim(len(body))
        return first if body is None else bytes(body)

    def _claim(self, size: int) -> None:
        """Let it be `size` bytes long. Raise TooLargeError, or OverloadedError if others hold too much already."""
        limit = self._all.options
        if size > limit.max_body:
            raise TooLargeError(f"the body is above the limit of {limit.max_body} bytes")
        if size <= max(self._claimed, _SMALL):
            return
        others = self._all.held - self._claimed
        if others and others + size > limit.max_bodies:
            raise OverloadedError("too many large bodies are under way; try again soon, or elsewhere")
        self._all.held = others + size
        self._claimed = size


def _check_coding(request: web.BaseRequest) -> None:
    """Refuse a transfer coding that the parser lets through undecoded: `gzip, chunked` would be read as plain bytes."""
    coding = request.headers.get("Transfer-Encoding")
    if coding is not None and coding.strip().lower() != "chunked":
        request.protocol.close()  # once this is answered: whoever sent it may mean another end of the body
        raise MalformedError("the only transfer coding that is understood is 'chunked'")
