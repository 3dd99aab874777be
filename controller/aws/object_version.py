"""Identify the version of an object in S3 that was read: by its ETag and its modification time."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from controller.aws.aws_client import AwsClient
from controller.errors import MissingError

# Modification times have whole seconds; the second one allows for differences between S3's clocks.
_CLOCK_MARGIN = timedelta(seconds=2)


def object_version(answer: Mapping[str, Any], answered_at: datetime | None) -> str:
    """Return the version of an object from a HeadObject or GetObject response. Every later write gives another version.

    Empty if a write in the same second couldn't be distinguished from the one that was read.
    """
    if answered_at is None or answered_at - answer["LastModified"] < _CLOCK_MARGIN:
        return ""
    return _format_version(answer["ETag"], answer["LastModified"])


def _format_version(etag: str, last_modified: datetime) -> str:
    # Listings show milliseconds, which are always zero; a response's header has none.
    return f"{etag} {last_modified.replace(microsecond=0).isoformat()}"


def list_object_versions(aws: AwsClient, bucket: str, prefix: str) -> dict[str, str]:
    """Return the versions of all objects whose keys begin with `prefix`, by key: up to a thousand with each call."""
    where = {"Bucket": bucket, "Prefix": prefix, "ExpectedBucketOwner": aws.account}
    try:
        items = aws.list_items("s3", "list_objects_v2", "Contents", **where)
        return {item["Key"]: _format_version(item["ETag"], item["LastModified"]) for item in items}
    except MissingError:  # no such bucket
        return {}
