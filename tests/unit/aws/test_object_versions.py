"""What tells that an object is still the one that was read."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from controller.aws import connect
from controller.aws.object_version import list_object_versions, object_version
from controller.aws.server_date import ServerDateHook

CHANGED = datetime(2026, 3, 1, 12, 0, 7, tzinfo=UTC)


def version_read(*, etag: str = '"a"', after: float | None) -> str:
    """The mark out of an answer that was given so many seconds after the object's last change.

    None: AWS didn't say when.
    """
    answered = None if after is None else CHANGED + timedelta(seconds=after)
    return object_version({"ETag": etag, "LastModified": CHANGED}, answered)


@pytest.mark.parametrize("after", [None, -3, 0, 1])
def test_recent_write_has_no_object_version(after):
    """A write in the same second with the same bytes would look the same: the time has whole seconds."""
    assert version_read(after=after) == ""


def test_object_version_follows_etag_and_time():
    """It is the same however late one asks, and another one for another ETag."""
    assert version_read(after=2) == version_read(after=900) != ""
    assert version_read(after=2) != version_read(etag='"b"', after=2)


def test_listing_and_read_give_equal_object_versions(embedded_aws):
    """So an object that was read once is known again in a listing; one that was written again isn't."""
    aws, name = connect(region="us-east-1", endpoint=embedded_aws.endpoint), f"marks-{uuid4().hex[:12]}"
    where = {"Bucket": name, "Key": "rows/x.csv"}
    aws.write("s3", "create_bucket", Bucket=name)
    aws.write("s3", "put_object", **where, Body=b"1,2\n", ContentType="text/csv")
    deadline = time.monotonic() + 30
    clock = ServerDateHook()
    while not (found := object_version(aws.with_hooks(clock).read("s3", "head_object", **where), clock.server_date)):
        assert time.monotonic() < deadline
        time.sleep(0.2)
    assert list_object_versions(aws, name, "rows/") == {"rows/x.csv": found}
    aws.write("s3", "put_object", **where, Body=b"1,2\n", ContentType="text/plain")
    assert list_object_versions(aws, name, "rows/") != {"rows/x.csv": found}
    assert list_object_versions(aws, "no-such-bucket", "") == {}
