"""Buckets of the embedded AWS: tags at creation, none after deletion, and TLS-only policies that allow normal use."""

from __future__ import annotations

import json

import pytest
from botocore.exceptions import ClientError

TAGS = [{"Key": "a", "Value": "1"}]


def test_a_bucket_has_its_tags_from_the_start(embedded_aws):
    """CreateBucketConfiguration.Tags are set without a second call.

    A new bucket of a deleted one's name has no tags.
    """
    s3 = embedded_aws.client("s3")
    s3.create_bucket(Bucket="tagged", CreateBucketConfiguration={"Tags": TAGS})
    assert s3.get_bucket_tagging(Bucket="tagged")["TagSet"] == TAGS
    s3.delete_bucket(Bucket="tagged")
    s3.create_bucket(Bucket="tagged")
    with pytest.raises(ClientError, match="NoSuchTagSet"):
        s3.get_bucket_tagging(Bucket="tagged")
    s3.delete_bucket(Bucket="tagged")


def test_a_bucket_that_requires_tls_can_be_used(embedded_aws):
    """The endpoint counts as TLS. A statement without that condition still denies."""
    s3 = embedded_aws.client("s3")
    s3.create_bucket(Bucket="careful")
    deny = {"Effect": "Deny", "Principal": "*", "Action": "s3:*", "Resource": "arn:aws:s3:::careful/*"}
    without_tls = {**deny, "Condition": {"Bool": {"aws:SecureTransport": "false"}}}
    s3.put_bucket_policy(Bucket="careful", Policy=json.dumps({"Version": "2012-10-17", "Statement": [without_tls]}))
    s3.put_object(Bucket="careful", Key="k", Body=b"x")
    s3.put_bucket_policy(
        Bucket="careful", Policy=json.dumps({"Version": "2012-10-17", "Statement": [without_tls, deny]})
    )
    with pytest.raises(ClientError, match="403"):
        s3.put_object(Bucket="careful", Key="k", Body=b"x")
    s3.delete_bucket_policy(Bucket="careful")
    s3.delete_object(Bucket="careful", Key="k")
    s3.delete_bucket(Bucket="careful")
