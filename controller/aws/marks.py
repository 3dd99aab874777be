"""What tells that an object in S3 is still the one that was read: its ETag and the time of its last change."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from controller.aws.door import Aws
from controller.errors import MissingError


def mark_of(told: Mapping[str, Any]) -> str:
    """The mark of an object, as HeadObject, GetObject and listings tell it. Any write of the object gives another one."""
    # Listings tell milliseconds, which are always zero; an answer's header has none.
    changed = told["LastModified"].replace(microsecond=0).isoformat()
    return f"{told['ETag']} {changed}"


def marks_below(aws: Aws, bucket: str, prefix: str) -> dict[str, str]:
    """The marks of all objects whose keys begin with `prefix`, by key: up to a thousand with each call."""
    where = {"Bucket": bucket, "Prefix": prefix, "ExpectedBucketOwner": aws.account}
    try:
        return {item["Key"]: mark_of(item) for item in aws.pages("s3", "list_objects_v2", "Contents", **where)}
    except MissingError:  # no such bucket
        return {}
