"""Reads bodies within limits: the size of one, the time it may take, and the bytes of all that are held at once.

A body stays in memory from its first byte until it is answered. Without the last limit, a few hundred large requests
at once would take more memory than a small container has, each of them well within its own limit.
"""

from __future__ import annotations

import asyncio
from typing import Final

from aiohttp import StreamReader, web

from inference_server.errors import BodyTimeoutError, BodyTooLargeError, MalformedError, OverloadedError
from inference_server.options import Options

# Smaller bodies aren't counted: the number of connections bounds them well enough.
_UNCOUNTED_SIZE: Final = 64 * 1024
_CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"


class BodyMemory:
    """The limits of one process, and how many bytes its large bodies hold now."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.used_bytes = 0


class RequestBody:
    """One request's body. Whoever opens it closes it when the request is answered."""

    __slots__ = ("_memory", "_reserved_bytes")

    def __init__(self, memory: BodyMemory) -> None:
        self._memory, self._reserved_bytes = memory, 0

    def close(self) -> None:
        """Give back the memory."""
        self._memory.used_bytes -= self._reserved_bytes

    async def read(self, request: web.BaseRequest) -> bytes:
        """Read it whole. Raise a RequestError for a limit that it meets, or if it is broken."""
        try:
            return await self._read(request)
        except (web.RequestPayloadError, ConnectionError):  # its client may have gone: then nobody hears of it
            raise MalformedError("the body can't be decoded or is incomplete") from None

    async def _read(self, request: web.BaseRequest) -> bytes:
        if (announced_size := request.content_length) is None:
            _check_transfer_coding(request)
        self._reserve(announced_size or 0)
        content = request.content
        if content.is_eof():
            return await self._read_rest(content)
        if request.headers.get("Expect", "").lower() == "100-continue":
            await request.writer.write(_CONTINUE)
            request.writer.output_size = 0  # aiohttp reads it as: the response has not begun
        seconds = self._memory.options.body_timeout
        try:
            async with asyncio.timeout(seconds):
                return await self._read_rest(content)
        except TimeoutError:
            raise BodyTimeoutError(f"the body didn't arrive within {seconds:g} s") from None

    async def _read_rest(self, content: StreamReader) -> bytes:
        first = await content.readany()
        self._reserve(len(first))
        body = None
        # How long a chunked body is, and how long a compressed one grows, shows only on the way.
        while chunk := await content.readany():
            body = bytearray(first) if body is None else body
            body += chunk
            self._reserve(len(body))
        return first if body is None else bytes(body)

    def _reserve(self, size: int) -> None:
        """Let it be `size` bytes long. Raise TooLargeError, or OverloadedError if others hold too much already."""
        limit = self._memory.options
        if size > limit.max_body:
            raise BodyTooLargeError(f"the body is above the limit of {limit.max_body} bytes")
        if size <= max(self._reserved_bytes, _UNCOUNTED_SIZE):
            return
        others_bytes = self._memory.used_bytes - self._reserved_bytes
        if others_bytes and others_bytes + size > limit.max_bodies:
            raise OverloadedError("too many large bodies are under way; try again soon, or elsewhere")
        self._memory.used_bytes = others_bytes + size
        self._reserved_bytes = size


def _check_transfer_coding(request: web.BaseRequest) -> None:
    """Refuse a transfer coding that the parser lets through undecoded: `gzip, chunked` would be read as plain bytes."""
    coding = request.headers.get("Transfer-Encoding")
    if coding is not None and coding.strip().lower() != "chunked":
        request.protocol.close()  # once this is answered: whoever sent it may mean another end of the body
        raise MalformedError("the only transfer coding that is understood is 'chunked'")
