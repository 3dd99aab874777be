"""The environment's artifact bucket, for datasets, trained models and bundles.

A bucket that the Environment names is only used: it isn't configured, tagged or deleted. This file doesn't manage the
bucket's content.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from controller.aws import AwsClient
from controller.core.field_policy import FieldPolicy, normalise_json_document, subtree_patterns
from controller.core.graph import Node, Observed, Target
from controller.core.ownership import ENVIRONMENT_TAG, find_dropped_tags, parse_tags, to_tag_list
from controller.core.plan import Step
from controller.core.spec_context import SpecContext
from controller.core.status import Waiting
from controller.core.values import Key, Value
from controller.errors import ConflictError, DeniedError, FailedError, ForeignError, MissingError
from controller.resources.base import PermissionScope, Resource

_PUBLIC_ACCESS_BLOCK = {
    "BlockPublicAcls": True,
    "IgnorePublicAcls": True,
    "BlockPublicPolicy": True,
    "RestrictPublicBuckets": True,
}
# Where CreateBucket takes no LocationConstraint.
# https://docs.aws.amazon.com/AmazonS3/latest/API/API_CreateBucketConfiguration.html
_FIRST_REGION = "us-east-1"


class ArtifactBucket(Resource):
    """A private bucket: versioned, encrypted, no public access, TLS only."""

    kind = "s3/bucket"
    retention_category = "artifacts"
    policy = FieldPolicy(normalise={"policy": normalise_json_document}, owned=subtree_patterns("policy"))
    permissions = {
        "s3.head_bucket": frozenset({"s3:ListBucket"}),
        "s3.get_bucket_tagging": frozenset({"s3:GetBucketTagging"}),
        "s3.get_bucket_versioning": frozenset({"s3:GetBucketVersioning"}),
        "s3.get_bucket_encryption": frozenset({"s3:GetEncryptionConfiguration"}),
        "s3.get_public_access_block": frozenset({"s3:GetBucketPublicAccessBlock"}),
        "s3.get_bucket_policy": frozenset({"s3:GetBucketPolicy"}),
        "s3.create_bucket": frozenset({"s3:CreateBucket", "s3:TagResource"}),
        "s3.put_bucket_tagging": frozenset({"s3:PutBucketTagging"}),
        "s3.put_bucket_versioning": frozenset({"s3:PutBucketVersioning"}),
        "s3.put_bucket_encryption": frozenset({"s3:PutEncryptionConfiguration"}),
        "s3.put_public_access_block": frozenset({"s3:PutBucketPublicAccessBlock"}),
        "s3.put_bucket_policy": frozenset({"s3:PutBucketPolicy"}),
        "s3.delete_bucket": frozenset({"s3:DeleteBucket"}),
    }
    scopes = {"s3:": (PermissionScope("s3:::{name}"),)}

    def expand(self, context: SpecContext) -> Iterable[Node]:
        """Return one bucket for the environment, created or named."""
        if context.service is not None or not context.needs_training_resources:
            return
        name = context.bucket_name
        if name == context.environment.spec.bucket:
            yield Node(context.shared_key(self.kind), {"name": name})
            return
        desired = {
            "versioning": "Enabled",
            "encryption": "AES256",
            "public_access": _PUBLIC_ACCESS_BLOCK,
            "policy": _tls_only_policy(f"arn:{context.location.partition}:s3:::{name}"),
            "tags": context.tags(),
        }
        yield Node(context.shared_key(self.kind), {"name": name}, desired)

    def observe(self, aws: AwsClient, targets: Sequence[Target]) -> dict[Key, Observed]:
        """Read each bucket with its settings. Raises ForeignError for a name that another account has."""
        found = {}
        for target in targets:
            name = target.identity["name"]
            try:
                aws.read("s3", "head_bucket", **_bucket_parameters(aws, name))
            except MissingError:
                continue
            except DeniedError as error:
                raise ForeignError(
                    f"the bucket {name} can't be used",
                    where=str(target.key),
                    why=f"{error.where} is denied: it belongs to another account, or s3:ListBucket is not allowed",
                    hint="name a bucket of yours in spec.bucket, or see `moorage policy`",
                ) from error
            found[target.key] = Observed(
                _read_settings(aws, name), {"name": name, "arn": f"arn:{aws.partition}:s3:::{name}"}
            )
        return found

    def apply(self, aws: AwsClient, step: Step, seen: Observed | None) -> Observed:
        """Create the bucket, then put every setting that differs.

        Raises FailedError for a named one that doesn't exist.
        """
        name, context = step.node.identity["name"], step.node.desired
        if not context:
            raise FailedError(
                f"there is no bucket {name}",
                where=str(step.node.key),
                hint="create it, or leave spec.bucket out so that one is made",
            )
        if seen is None:
            self._create(aws, name, context["tags"])
        live = seen.fields if seen is not None else {"tags": context["tags"]}
        # PutBucketTagging replaces all tags; those of others are sent along.
        absent = find_dropped_tags(step.changes)
        others = {tag: value for tag, value in live.get("tags", {}).items() if tag not in absent}
        for field, value in {**context, "tags": {**others, **context["tags"]}}.items():
            if _differs(field, live.get(field), value):
                operation, parameters = _PUT_CALLS[field](value)
                aws.write("s3", operation, **_bucket_parameters(aws, name), **parameters)
        return self.confirm(aws, step)

    def delete(self, aws: AwsClient, target: Target) -> Waiting | None:
        """Delete the bucket if it is ours and empty.

        Objects that are left in it are to be kept, and so is the bucket.
        """
        name = target.identity["name"]
        try:
            if _fetch_tags(aws, name).get(ENVIRONMENT_TAG) == target.key.environment:
                aws.write("s3", "delete_bucket", **_bucket_parameters(aws, name))
        except (MissingError, ConflictError):
            return None
        return None

    def _create(self, aws: AwsClient, name: str, tags: dict[str, str]) -> None:
        """Create it with its tags, so that ownership is known even if the creation is interrupted."""
        configuration: dict[str, Any] = {"Tags": to_tag_list(tags)}
        if aws.region != _FIRST_REGION:
            configuration["LocationConstraint"] = aws.region
        aws.write("s3", "create_bucket", Bucket=name, CreateBucketConfiguration=configuration)


def _bucket_parameters(aws: AwsClient, name: str) -> dict[str, str]:
    """Return the parameters that name bucket and owner.

    Bucket names are global, and another account's bucket of the same name must not match.
    """
    return {"Bucket": name, "ExpectedBucketOwner": aws.account}


def _read_settings(aws: AwsClient, name: str) -> dict[str, Value]:
    def setting(operation: str) -> dict[str, Any]:
        try:
            return aws.read("s3", operation, **_bucket_parameters(aws, name))
        except MissingError:
            return {}

    rules = setting("get_bucket_encryption").get("ServerSideEncryptionConfiguration", {}).get("Rules", ())
    algorithms = [rule.get("ApplyServerSideEncryptionByDefault", {}).get("SSEAlgorithm") for rule in rules]
    policy = setting("get_bucket_policy").get("Policy")
    return {
        "versioning": setting("get_bucket_versioning").get("Status"),
        "encryption": next(iter(algorithms), None),
        "public_access": setting("get_public_access_block").get("PublicAccessBlockConfiguration"),
        "policy": None if policy is None else json.loads(policy),
        "tags": _fetch_tags(aws, name),
    }


def _fetch_tags(aws: AwsClient, name: str) -> dict[str, str]:
    try:
        return parse_tags(aws.read("s3", "get_bucket_tagging", **_bucket_parameters(aws, name))["TagSet"])
    except MissingError as error:
        if error.code == "NoSuchBucket":
            raise
        return {}


def _differs(field: str, live: Value, desired: Value) -> bool:
    if field == "policy":
        return bool(normalise_json_document(live) != normalise_json_document(desired))
    return bool(live != desired)


# Field → the call that sets it.
_PUT_CALLS: dict[str, Callable[[Any], tuple[str, dict[str, Any]]]] = {
    "tags": lambda tags: ("put_bucket_tagging", {"Tagging": {"TagSet": to_tag_list(tags)}}),
    "public_access": lambda block: ("put_public_access_block", {"PublicAccessBlockConfiguration": block}),
    "encryption": lambda algorithm: (
        "put_bucket_encryption",
        {"ServerSideEncryptionConfiguration": _encryption_rule(algorithm)},
    ),
    "versioning": lambda status: ("put_bucket_versioning", {"VersioningConfiguration": {"Status": status}}),
    "policy": lambda document: ("put_bucket_policy", {"Policy": json.dumps(document)}),
}


def _encryption_rule(algorithm: str) -> dict[str, Any]:
    return {"Rules": [{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": algorithm}}]}


def _tls_only_policy(arn: str) -> dict[str, Any]:
    statement = {
        "Sid": "TlsOnly",
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:*",
        "Resource": [arn, f"{arn}/*"],
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
    }
    return {"Version": "2012-10-17", "Statement": [statement]}
