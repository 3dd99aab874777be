"""What tells that an object in S3 is still the one that was read: its ETag and the time of its last change."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from controller.aws.aws_client import AwsClient
from controller.errors import MissingError

# The time of a change has whole seconds; the second one is for clocks of S3's that differ.
_CLOCK_MARGIN = timedelta(seconds=2)


def object_version(answer: Mapping[str, Any], answered_at: datetime | None) -> str:
    """The mark of an object as HeadObject or GetObject `answered`. Any later write of the object gives another one.

    Empty where a write in the same second could not be told from the one that was read.
    """
    if answered_at is None or answered_at - answer["LastModified"] < _CLOCK_MARGIN:
        return ""
    return _format_version(answer["ETag"], answer["LastModified"])


def _format_version(etag: str, last_modified: datetime) -> str:
    # Listings tell milliseconds, which are always zero; an answer's header has none.
    return f"{etag} {last_modified.replace(microsecond=0).isoformat()}"


def list_object_versions(aws: AwsClient, bucket: str, prefix: str) -> dict[str, str]:
    """The marks of all objects whose keys begin with `prefix`, by key: up to a thousand with each call."""
    where = {"Bucket": bucket, "Prefix": prefix, "ExpectedBucketOwner": aws.account}
    try:
        items = aws.list_items("s3", "list_objects_v2", "Contents", **where)
        return {item["Key"]: _format_version(item["ETag"], item["LastModified"]) for item in items}
    except MissingError:  # no such bucket
        return {}
