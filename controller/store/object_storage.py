"""What the store needs of a bucket: the seam between this room and AWS."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol


class ObjectStorage(Protocol):
    """Objects with conditional writes. Every call raises an AwsError; MissingError means that there is no bucket yet."""

    @property
    def where(self) -> str:
        """The bucket, for messages: `s3://name`."""

    def list(self, prefix: str) -> Mapping[str, str]:
        """The ETags of the objects whose keys begin with `prefix`, by key."""

    def get(self, key: str) -> tuple[bytes, str] | None:
        """An object's bytes and ETag; None when there is no such object."""

    def put(self, key: str, body: bytes, etag: str | None) -> str:
        """Write an object if it is still the one with `etag` (None: if there is none), and return its new ETag.

        Raises ConflictError when it is another one, and AnswerLostError when it may have been written.
        """
