"""One bucket's objects with conditional writes, whatever their content."""

from __future__ import annotations

from collections.abc import Mapping

from controller.aws.aws_client import AwsClient
from controller.errors import ConflictError, MissingError, UnavailableError

_READ_ATTEMPTS = 3


class S3ObjectStorage:
    """The objects of one bucket of this account. Every call raises MissingError while the bucket doesn't exist."""

    def __init__(self, aws: AwsClient, bucket: str) -> None:
        self.where, self._aws, self._bucket = f"s3://{bucket}", aws, bucket

    def list(self, prefix: str) -> Mapping[str, str]:
        """Return the ETags of the objects whose keys begin with `prefix`, by key.

        S3 lists everything written before the call.
        """
        listed = self._aws.iter_items("s3", "list_objects_v2", "Contents", Prefix=prefix, **self._bucket_parameters())
        return {item["Key"]: item["ETag"] for item in listed}

    def get(self, key: str) -> tuple[bytes, str] | None:
        """Return an object's bytes and ETag; None if it doesn't exist."""
        for attempt in range(_READ_ATTEMPTS):
            try:
                answer = self._aws.read("s3", "get_object", Key=key, **self._bucket_parameters())
                with answer["Body"] as body:
                    return body.read(), answer["ETag"]
            except MissingError as error:
                if error.code != "NoSuchKey":
                    raise
                return None
            except UnavailableError:
                if attempt == _READ_ATTEMPTS - 1:
                    raise
        raise AssertionError("not reached")

    def put(self, key: str, body: bytes, etag: str | None) -> str:
        """Write an object if it still has `etag` (None: if it doesn't exist), and return its new ETag.

        Raises ConflictError if it has another ETag, and AnswerLostError if it may have been written.
        https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html
        """
        condition = {"IfNoneMatch": "*"} if etag is None else {"IfMatch": etag}
        place = {**self._bucket_parameters(), "ContentType": "application/json"}
        try:
            answer = self._aws.write("s3", "put_object", Key=key, Body=body, **place, **condition)
        except MissingError as error:
            if error.code != "NoSuchKey":
                raise
            # The object to be replaced has been deleted.
            raise ConflictError(error.what, where=error.where, why=error.why, code=error.code) from error
        return str(answer["ETag"])

    def _bucket_parameters(self) -> dict[str, str]:
        """Return the parameters that name bucket and owner.

        Bucket names are global, and another account's bucket of the same name must not match.
        """
        return {"Bucket": self._bucket, "ExpectedBucketOwner": self._aws.account}
