"""S3 buckets: tags from creation to deletion, and bucket policies that require TLS.

Objects are in `s3_integrity`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from moto.iam.access_control import IAMPolicy, PermissionResult
from moto.s3.models import FakeBucket, s3_backends

from embedded_aws.api_call import ApiCall, ApiResponse
from embedded_aws.emulator import Emulator

# This endpoint stands in for AWS's, which callers reach over TLS.
_WITHOUT_TLS = {"Bool": {"aws:SecureTransport": "false"}}


def install(emulator: Emulator) -> None:
    """Register the handlers, and replace moto's evaluation of bucket policies."""
    emulator.register_handler("s3", "CreateBucket", create_bucket)
    emulator.register_handler("s3", "DeleteBucket", delete_bucket)
    FakeBucket.get_permission = evaluate_policy


def create_bucket(call: ApiCall) -> ApiResponse:
    """Give a new bucket the tags of its configuration, which moto ignores.

    https://docs.aws.amazon.com/AmazonS3/latest/API/API_CreateBucketConfiguration.html
    """
    answer = call.forward_to_moto()
    tags = (call.params.get("CreateBucketConfiguration") or {}).get("Tags") or []
    if answer.status == 200 and tags:
        backend = s3_backends[call.account]["aws"]
        backend.tagger.tag_resource(backend.buckets[call.params["Bucket"]].arn, tags)
    return answer


def delete_bucket(call: ApiCall) -> ApiResponse:
    """Drop a deleted bucket's tags; moto would give them to the next bucket of that name."""
    backend = s3_backends[call.account]["aws"]
    bucket = backend.buckets.get(call.params["Bucket"])
    answer = call.forward_to_moto()
    if answer.status == 204 and bucket is not None:
        backend.tagger.delete_all_tags_for_resource(bucket.arn)
    return answer


def evaluate_policy(bucket: Any, action: str, resource: str) -> Any:
    """Evaluate a bucket's policy without the statements that apply only to calls without TLS.

    moto knows no conditions.
    """
    if bucket.policy is None:
        return PermissionResult.NEUTRAL
    document: Mapping[str, Any] = json.loads(bucket.policy)
    listed = document.get("Statement", [])
    statements = [
        statement
        for statement in (listed if isinstance(listed, list) else [listed])
        if statement.get("Condition") != _WITHOUT_TLS
    ]
    return IAMPolicy(json.dumps({**document, "Statement": statements})).is_action_permitted(action, resource)
