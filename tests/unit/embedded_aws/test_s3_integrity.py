"""S3 of the embedded AWS: checksums, conditions, versions, streams."""

from __future__ import annotations

import base64
import hashlib
import io

import pytest
from botocore.exceptions import ClientError

BODY = b"median_house_value,median_income\n" * 5_000


@pytest.fixture(scope="module")
def s3(embedded_aws):
    client = embedded_aws.client("s3")
    client.create_bucket(Bucket="bucket")
    return client


def refusal(call, **arguments) -> tuple[str, int]:
    with pytest.raises(ClientError) as caught:
        call(**arguments)
    return caught.value.response["Error"]["Code"], caught.value.response["ResponseMetadata"]["HTTPStatusCode"]


def encoded(digest: bytes) -> str:
    return base64.b64encode(digest).decode()


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ({"ContentMD5": encoded(hashlib.md5(b"other").digest())}, "BadDigest"),
        ({"ContentMD5": "short"}, "InvalidDigest"),
        ({"ChecksumSHA256": encoded(hashlib.sha256(b"other").digest())}, "BadDigest"),
        ({"ChecksumSHA1": encoded(hashlib.sha1(b"other").digest())}, "BadDigest"),
        ({"ChecksumCRC32": "AAAAAA=="}, "BadDigest"),
    ],
)
def test_a_wrong_checksum_is_refused(s3, given, code) -> None:
    """A body that doesn't match its checksum is not stored."""
    assert refusal(s3.put_object, Bucket="bucket", Key="wrong", Body=BODY, **given) == (code, 400)
    assert refusal(s3.head_object, Bucket="bucket", Key="wrong") == ("404", 404)


def test_a_right_checksum_is_kept(s3) -> None:
    """A given SHA-256 is verified, stored and returned. A correct MD5 is accepted."""
    sha256 = encoded(hashlib.sha256(BODY).digest())
    s3.put_object(Bucket="bucket", Key="right", Body=io.BytesIO(BODY), ChecksumSHA256=sha256)
    assert s3.head_object(Bucket="bucket", Key="right", ChecksumMode="ENABLED")["ChecksumSHA256"] == sha256
    s3.put_object(Bucket="bucket", Key="md5", Body=BODY, ContentMD5=encoded(hashlib.md5(BODY).digest()))


def test_a_part_is_checked_too(s3) -> None:
    """A part of a multipart upload with a wrong checksum is refused."""
    upload = s3.create_multipart_upload(Bucket="bucket", Key="parts")["UploadId"]
    part = {"Bucket": "bucket", "Key": "parts", "UploadId": upload, "PartNumber": 1, "Body": BODY}
    assert refusal(s3.upload_part, **part, ContentMD5=encoded(hashlib.md5(b"other").digest())) == ("BadDigest", 400)


def test_an_aws_chunked_body_is_unpacked(embedded_aws) -> None:
    """A streamed body with a trailing checksum is verified without its framing."""
    import http.client
    from urllib.parse import urlsplit

    def put(crc32: str) -> int:
        framed = b"3\r\none\r\n0\r\nx-amz-checksum-crc32:" + crc32.encode() + b"\r\n\r\n"
        headers = {
            "Authorization": "AWS4-HMAC-SHA256 "
            "Credential=AKIAIOSFODNN7EXAMPLE/20260101/us-east-1/s3/aws4_request, Signature=x",
            "x-amz-content-sha256": "STREAMING-UNSIGNED-PAYLOAD-TRAILER",
            "x-amz-trailer": "x-amz-checksum-crc32",
            "x-amz-decoded-content-length": "3",
            "x-amz-sdk-checksum-algorithm": "CRC32",
            "content-encoding": "aws-chunked",
        }
        connection = http.client.HTTPConnection(urlsplit(embedded_aws.endpoint).netloc)
        connection.request("PUT", "/bucket/chunked", framed, headers)
        status = connection.getresponse().status
        connection.close()
        return status

    embedded_aws.client("s3").create_bucket(Bucket="bucket")
    assert put("AAAAAA==") == 400
    assert put("emyG8Q==") == 200
    assert embedded_aws.client("s3").get_object(Bucket="bucket", Key="chunked")["Body"].read() == b"one"


def test_writes_can_be_conditional(s3) -> None:
    """If-None-Match creates an object once, If-Match replaces only the version that was read.

    Both answer 412 otherwise.
    """
    s3.put_object(Bucket="bucket", Key="lease", Body=b"1", IfNoneMatch="*")
    assert refusal(s3.put_object, Bucket="bucket", Key="lease", Body=b"2", IfNoneMatch="*") == (
        "PreconditionFailed",
        412,
    )
    read = s3.get_object(Bucket="bucket", Key="lease")["ETag"]
    s3.put_object(Bucket="bucket", Key="lease", Body=b"2", IfMatch=read)
    assert refusal(s3.put_object, Bucket="bucket", Key="lease", Body=b"3", IfMatch=read) == ("PreconditionFailed", 412)
    assert refusal(s3.put_object, Bucket="bucket", Key="none", Body=b"3", IfMatch=read) == ("NoSuchKey", 404)


def test_objects_stream_and_keep_their_versions(s3) -> None:
    """A large object is read in chunks and by range.

    An earlier version stays readable, and the encoding is unchanged.
    """
    s3.put_bucket_versioning(Bucket="bucket", VersioningConfiguration={"Status": "Enabled"})
    first = s3.put_object(Bucket="bucket", Key="data", Body=BODY, ContentEncoding="gzip")["VersionId"]
    s3.put_object(Bucket="bucket", Key="data", Body=b"second")
    old = s3.get_object(Bucket="bucket", Key="data", VersionId=first)
    assert old["ContentEncoding"] == "gzip"
    assert b"".join(old["Body"].iter_chunks(4096)) == BODY
    assert s3.get_object(Bucket="bucket", Key="data", Range="bytes=1-3")["Body"].read() == b"eco"
