"""Conditional writes, as the embedded AWS's S3 carries them out."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import pytest

from controller.aws import connect
from controller.aws.s3_object_storage import S3ObjectStorage
from controller.errors import AnswerLostError, AwsError, ConflictError, MissingError


@pytest.fixture
def aws(embedded_aws):
    return connect(region="us-east-1", endpoint=embedded_aws.endpoint)


@pytest.fixture
def objects(aws) -> S3ObjectStorage:
    name = f"objects-{uuid4().hex[:12]}"
    aws.write("s3", "create_bucket", Bucket=name)
    return S3ObjectStorage(aws, name)


def test_written_object_is_read_with_its_etag(objects):
    """The ETag of a write is the listing's and the read's; what isn't there is None."""
    assert objects.get("a/x") is None
    first = objects.put("a/x", b"1", None)
    other = objects.put("b", b"2", None)
    assert objects.get("a/x") == (b"1", first)
    assert objects.list("a/") == {"a/x": first}
    assert objects.list("") == {"a/x": first, "b": other}


def test_only_the_version_read_is_replaced(objects):
    """An object that is there already, another one, and one that was deleted are all a conflict; nothing is changed."""
    first = objects.put("x", b"1", None)
    with pytest.raises(ConflictError):
        objects.put("x", b"2", None)
    second = objects.put("x", b"2", first)
    with pytest.raises(ConflictError):
        objects.put("x", b"3", first)
    with pytest.raises(ConflictError):
        objects.put("gone", b"3", second)
    assert objects.get("x") == (b"2", second)


def test_missing_bucket_differs_from_missing_object(aws):
    """Before the first run there is no bucket, and that is no conflict."""
    nowhere = S3ObjectStorage(aws, "no-such-bucket")
    with pytest.raises(MissingError):
        nowhere.list("")
    with pytest.raises(MissingError):
        nowhere.get("x")
    for etag in (None, '"abc"'):
        with pytest.raises(MissingError):
            nowhere.put("x", b"", etag)


def test_lost_answer_of_a_write_is_reported(objects, embedded_aws):
    """It was done, and the caller finds out by reading."""
    embedded_aws.call_admin_endpoint("faults", "POST", [{"call": "s3.PutObject", "kind": "lost"}])
    with pytest.raises(AnswerLostError):
        objects.put("x", b"1", None)
    assert objects.get("x")[0] == b"1"


def test_one_concurrent_writer_wins(objects):
    """Eight writers replace the same object at once."""
    etag = objects.put("x", b"", None)

    def write(number: int) -> bool:
        try:
            objects.put("x", str(number).encode(), etag)
        except AwsError:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(write, range(8))) == 1
