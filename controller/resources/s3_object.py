"""Dataset objects in the artifact bucket. They are addressed by content: other rows make another object.

An object has no owner of its own: it belongs to its bucket, and its key names the model.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence

from controller.aws import AwsClient
from controller.aws.object_version import list_object_versions, object_version
from controller.aws.server_date import ServerDateHook
from controller.core.graph import Node, Observed, Target
from controller.core.plan import Step
from controller.core.spec_context import SpecContext
from controller.core.status import Waiting
from controller.core.values import Blob, Key, Ref
from controller.errors import MissingError
from controller.resources.base import PermissionScope, Resource

_PREFIX = "datasets/"


class DatasetObject(Resource):
    """One channel's rows, alone under its prefix, because a training job reads everything that begins with it."""

    kind = "s3/object"
    condition_type = "Trained"
    # Earlier data is the lineage of earlier models.
    superseded_policy = "collect"
    reference_outputs = frozenset({"url"})
    retention_category = "artifacts"
    permissions = {
        "s3.list_objects_v2": frozenset({"s3:ListBucket"}),
        "s3.head_object": frozenset({"s3:GetObject", "s3:ListBucket"}),
        "s3.put_object": frozenset({"s3:PutObject"}),
        "s3.delete_object": frozenset({"s3:DeleteObject"}),
    }
    scopes = {
        "s3:": (PermissionScope("s3:::{bucket}/datasets/{owner}/*"),),
        "s3:ListBucket": (PermissionScope("s3:::{bucket}"),),
    }

    def expand(self, context: SpecContext) -> Iterable[Node]:
        """Return one object for each channel."""
        if context.trainable_spec is None:
            return
        for channel, content in sorted(context.inputs.channels.items()):
            key = f"{_PREFIX}{context.owner.name}/{content.sha256}/{channel}.csv"
            identity = {"bucket": Ref(context.shared_key("s3/bucket"), "name"), "key": key}
            yield Node(context.own_key(self.kind, channel), identity, {"content": content, "content_type": "text/csv"})

    def observe(self, aws: AwsClient, targets: Sequence[Target]) -> dict[Key, Observed]:
        """Read each object's digest, which S3 checked when the object was put. An unchanged object isn't read again."""
        marks = _list_versions_once(aws, targets)
        found = {}
        for target in targets:
            mark = (marks or {}).get((target.identity["bucket"], target.identity["key"]))
            if marks is not None and mark is None:
                continue
            if target.applied_fields and mark and mark == target.known_outputs.get("mark"):
                found[target.key] = Observed(target.applied_fields, target.known_outputs)
            elif (head := _head_object(aws, target)) is not None:
                found[target.key] = head
        return found

    def apply(self, aws: AwsClient, step: Step, seen: Observed | None) -> Observed:
        """Put the content; S3 refuses it if it doesn't arrive as it was sent."""
        del seen
        content: Blob = step.node.desired["content"]
        aws.write(
            "s3",
            "put_object",
            Bucket=step.node.identity["bucket"],
            Key=step.node.identity["key"],
            Body=content.load(),
            ContentType=step.node.desired["content_type"],
            ChecksumSHA256=base64.b64encode(bytes.fromhex(content.sha256)).decode(),
            ExpectedBucketOwner=aws.account,
        )
        return self.confirm(aws, step)

    def delete(self, aws: AwsClient, target: Target) -> Waiting | None:
        """Delete the object; in a versioned bucket its versions stay until the bucket's own rules remove them."""
        try:
            aws.write(
                "s3",
                "delete_object",
                Bucket=target.identity["bucket"],
                Key=target.identity["key"],
                ExpectedBucketOwner=aws.account,
            )
        except MissingError:
            return None
        return None


def _list_versions_once(aws: AwsClient, targets: Sequence[Target]) -> dict[tuple[str, str], str] | None:
    """Return the versions of all datasets of the buckets; None if there is only one object to read."""
    if len(targets) == 1:
        return None
    buckets = sorted({target.identity["bucket"] for target in targets})
    return {
        (bucket, key): mark for bucket in buckets for key, mark in list_object_versions(aws, bucket, _PREFIX).items()
    }


def _head_object(aws: AwsClient, target: Target) -> Observed | None:
    time = ServerDateHook()
    bucket, key = target.identity["bucket"], target.identity["key"]
    try:
        head = aws.with_hooks(time).read(
            "s3", "head_object", Bucket=bucket, Key=key, ChecksumMode="ENABLED", ExpectedBucketOwner=aws.account
        )
    except MissingError:
        return None
    digest = base64.b64decode(head.get("ChecksumSHA256", "")).hex()
    fields = {"content": digest or None, "content_type": head.get("ContentType")}
    return Observed(
        fields,
        {"url": f"s3://{bucket}/{key}", "bucket": bucket, "key": key, "mark": object_version(head, time.server_date)},
    )
