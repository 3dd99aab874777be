"""Reading request bodies within limits: size of one body, time to arrive, and total bytes of all bodies in memory.

A body stays in memory from its first byte until its request is answered. Without the total limit, a few hundred large
requests, each within its own limit, would exceed a small container's memory.
"""

from __future__ import annotations

import asyncio
from typing import Final

from aiohttp import StreamReader, web

from inference_server.errors import BodyTimeoutError, BodyTooLargeError, MalformedError, OverloadedError
from inference_server.options import Options

# Smaller bodies aren't counted: the number of connections bounds them sufficiently.
_UNCOUNTED_SIZE: Final = 64 * 1024
_CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"


class BodyMemory:
    """The body limits of one process, and how many bytes its large bodies use now."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.used_bytes = 0


class RequestBody:
    """The body of one request. The caller closes it when the request is answered."""

    __slots__ = ("_memory", "_reserved_bytes")

    def __init__(self, memory: BodyMemory) -> None:
        self._memory, self._reserved_bytes = memory, 0

    def close(self) -> None:
        """Release the reserved memory."""
        self._memory.used_bytes -= self._reserved_bytes

    async def read(self, request: web.BaseRequest) -> bytes:
        """Read the whole body. Raise a RequestError if it exceeds a limit or is malformed."""
        try:
            return await self._read(request)
        except (web.RequestPayloadError, ConnectionError):  # ConnectionError: the client may have disconnected
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
            request.writer.output_size = 0  # tells aiohttp that the response has not begun
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
        # The size of a chunked or compressed body is known only while it is read.
        while chunk := await content.readany():
            body = bytearray(first) if body is None else body
            body += chunk
            self._reserve(len(body))
        return first if body is None else bytes(body)

    def _reserve(self, size: int) -> None:
        """Reserve `size` bytes. Raise BodyTooLargeError, or OverloadedError if other bodies use too much memory."""
        limit = self._memory.options
        if size > limit.max_body:
            raise BodyTooLargeError(f"the body exceeds the limit of {limit.max_body} bytes")
        if size <= max(self._reserved_bytes, _UNCOUNTED_SIZE):
            return
        others_bytes = self._memory.used_bytes - self._reserved_bytes
        if others_bytes and others_bytes + size > limit.max_bodies:
            raise OverloadedError("too many large bodies are in memory; retry later, or on another server")
        self._memory.used_bytes = others_bytes + size
        self._reserved_bytes = size


def _check_transfer_coding(request: web.BaseRequest) -> None:
    """Reject a transfer coding that the parser would leave undecoded: it would read `gzip, chunked` as plain bytes."""
    coding = request.headers.get("Transfer-Encoding")
    if coding is not None and coding.strip().lower() != "chunked":
        request.protocol.close()  # after the response: the sender may place the body's end elsewhere
        raise MalformedError("the only supported transfer coding is 'chunked'")
