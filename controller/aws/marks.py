"""What tells that an object in S3 is still the one that was read: its ETag and the time of its last change."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from controller.aws.door import Aws
from controller.errors import MissingError

# The time of a change has whole seconds; the second one is for clocks of S3's that differ.
_TELLING = timedelta(seconds=2)


def mark_read(answer: Mapping[str, Any], answered: datetime | None) -> str:
    """The mark of an object as HeadObject or GetObject `answered`. Any later write of the object gives another one.

    Empty where a write in the same second could not be told from the one that was read.
    """
    if answered is None or answered - answer["LastModified"] < _TELLING:
        return ""
    return _mark(answer["ETag"], answer["LastModified"])


def _mark(etag: str, changed: datetime) -> str:
    # Listings tell milliseconds, which are always zero; an answer's header has none.
    return f"{etag} {changed.replace(microsecond=0).isoformat()}"


def marks_below(aws: Aws, bucket: str, prefix: str) -> dict[str, str]:
    """The marks of all objects whose keys begin with `prefix`, by key: up to a thousand with each call."""
    where = {"Bucket": bucket, "Prefix": prefix, "ExpectedBucketOwner": aws.account}
    try:
        items = aws.listed("s3", "list_objects_v2", "Contents", **where)
        return {item["Key"]: _mark(item["ETag"], item["LastModified"]) for item in items}
    except MissingError:  # no such bucket
        return {}
