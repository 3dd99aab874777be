"""What the store needs of a bucket: the seam between the store and AWS."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol


class ObjectStorage(Protocol):
    """Objects with conditional writes.

    Every call raises an AwsError; MissingError means that the bucket doesn't exist.
    """

    @property
    def where(self) -> str:
        """The bucket, for messages: `s3://name`."""

    def list(self, prefix: str) -> Mapping[str, str]:
        """Return the ETags of the objects whose keys begin with `prefix`, by key."""

    def get(self, key: str) -> tuple[bytes, str] | None:
        """Return an object's bytes and ETag; None if it doesn't exist."""

    def put(self, key: str, body: bytes, etag: str | None) -> str:
        """Write an object if it still has `etag` (None: if it doesn't exist), and return its new ETag.

        Raises ConflictError if it has another ETag, and AnswerLostError if it may have been written.
        """
