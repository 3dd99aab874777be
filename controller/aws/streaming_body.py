"""The streamed body of a response (S3 GetObject), with our errors instead of botocore's.

It reads bytes, nothing else.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Self

from botocore.response import StreamingBody
from urllib3.exceptions import HTTPError

from controller.aws.calls import AwsCall
from controller.aws.errors import BOTOCORE_ERRORS, map_error
from controller.errors import UnavailableError


class ResponseBody:
    """Bytes that are still arriving. Close it, or use it as a context manager.

    Raises UnavailableError if it is cut off.
    """

    def __init__(self, stream: StreamingBody, call: AwsCall) -> None:
        self._stream, self._call = stream, call

    @staticmethod
    def is_stream(value: Any) -> bool:
        """Return whether botocore streams this value."""
        return isinstance(value, StreamingBody)

    def read(self, size: int | None = None) -> bytes:
        """Return up to `size` bytes, all the rest for None; `b""` at the end."""
        try:
            data: bytes = self._stream.read(size)
        except BOTOCORE_ERRORS as error:
            raise map_error(error, self._call) from error
        except (HTTPError, OSError) as error:
            raise UnavailableError("the answer broke off", where=self._call.name, why=str(error)) from error
        return data

    def chunks(self, size: int = 1 << 20) -> Iterator[bytes]:
        """Yield all bytes in pieces of at most `size`."""
        while piece := self.read(size):
            yield piece

    def close(self) -> None:
        """Release the connection."""
        self._stream.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
