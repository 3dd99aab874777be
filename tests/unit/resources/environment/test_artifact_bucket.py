"""The artifact bucket and what is put into it."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace

import pytest

from controller.core.plan import Action, Step
from controller.core.spec_context import ResolvedInputs
from controller.core.values import Blob, Key
from controller.errors import ConflictError, FailedError, ForeignError
from controller.resources.s3_bucket import ArtifactBucket
from controller.resources.s3_object import DatasetObject

BUCKET = Key("bench", "s3/bucket", "/")


def blob(content: bytes) -> Blob:
    return Blob(hashlib.sha256(content).hexdigest(), len(content), lambda: content)


def test_bucket(open_harness, environment, with_tags):
    """Private, versioned, encrypted, TLS only; made, changed and deleted twice."""
    buckets = open_harness(ArtifactBucket)
    node = buckets.node(environment())
    seen = buckets.run_lifecycle(node, with_tags(node, team="b"))
    assert seen.outputs["name"].startswith("moorage-123456789012-us-east-1-")
    assert len(seen.outputs["name"]) <= 63
    assert seen.fields["versioning"] == "Enabled"
    assert set(seen.fields["public_access"].values()) == {True}
    assert seen.fields["policy"]["Statement"][0]["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}


@pytest.mark.parametrize(
    ("undo", "path"),
    [
        (lambda s3, name: s3.delete_public_access_block(Bucket=name), "public_access"),
        (lambda s3, name: s3.delete_bucket_encryption(Bucket=name), "encryption"),
        (lambda s3, name: s3.delete_bucket_policy(Bucket=name), "policy"),
        (
            lambda s3, name: s3.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Suspended"}),
            "versioning",
        ),
        (
            lambda s3, name: s3.put_bucket_policy(
                Bucket=name,
                Policy=json.dumps(
                    {
                        "Version": "2012-10-17",
                        "Statement": [
                            {"Effect": "Allow", "Principal": "*", "Action": "s3:*", "Resource": f"arn:aws:s3:::{name}"}
                        ],
                    }
                ),
            ),
            "policy",
        ),
    ],
)
def test_each_setting_is_corrected(open_harness, environment, embedded_aws, undo, path):
    """What is changed by hand is one drift, and one call puts it back."""
    buckets = open_harness(ArtifactBucket)
    node = buckets.node(environment())
    buckets.apply(node)
    undo(embedded_aws.client("s3"), node.identity["name"])
    assert {change.path.split(".")[0] for change in buckets.changes(node)} == {path}
    assert buckets.writes(lambda: buckets.apply(node, Action.UPDATE)) == 1
    assert buckets.changes(node) == ()
    buckets.delete(node)


def test_tags_of_others_stay_and_dropped_ones_go(open_harness, environment, with_tags, embedded_aws):
    """S3 replaces all tags at once, so those of others are sent along."""
    buckets, s3 = open_harness(ArtifactBucket), embedded_aws.client("s3")
    node = buckets.node(environment())
    buckets.apply(with_tags(node, mine="1"))
    tags = s3.get_bucket_tagging(Bucket=node.identity["name"])["TagSet"]
    s3.put_bucket_tagging(Bucket=node.identity["name"], Tagging={"TagSet": [*tags, {"Key": "theirs", "Value": "2"}]})
    assert [change.path for change in buckets.changes(node)] == ["tags.mine"]
    seen = buckets.apply(node, Action.UPDATE)
    assert seen.fields["tags"] == {**node.desired["tags"], "theirs": "2"}
    buckets.delete(node)


def test_a_foreign_bucket_is_refused(open_harness, environment, embedded_aws):
    """Of the very name, in our account, without our tags: not touched, and not deleted either."""
    buckets, s3 = open_harness(ArtifactBucket), embedded_aws.client("s3")
    node = buckets.node(environment())
    s3.create_bucket(Bucket=node.identity["name"])
    with pytest.raises(ForeignError):
        buckets.apply(node)
    assert buckets.delete(node) is None
    assert buckets.aws.call_counter.writes == 0
    s3.delete_bucket(Bucket=node.identity["name"])


def test_non_empty_bucket_is_retained(open_harness, environment, embedded_aws):
    """Artifacts are kept when their environment goes; so is what they are in."""
    buckets, s3 = open_harness(ArtifactBucket), embedded_aws.client("s3")
    node = buckets.node(environment())
    name = node.identity["name"]
    buckets.apply(node)
    version = s3.put_object(Bucket=name, Key="k", Body=b"x")["VersionId"]
    assert buckets.delete(node) is None
    assert buckets.observe(node) is not None
    s3.delete_object(Bucket=name, Key="k", VersionId=version)
    assert buckets.delete(node) is None
    assert buckets.observe(node) is None


def test_named_bucket_is_not_managed(open_harness, environment, embedded_aws):
    """It isn't configured, tagged or deleted; if it is missing, the spec's field is named."""
    buckets, s3 = open_harness(ArtifactBucket), embedded_aws.client("s3")
    node = buckets.node(environment(spec={"bucket": "our-own-bucket"}))
    with pytest.raises(FailedError, match=r"spec\.bucket"):
        buckets.apply(node)
    s3.create_bucket(Bucket="our-own-bucket")
    assert buckets.changes(node) == ()
    assert buckets.apply(node).outputs["arn"] == "arn:aws:s3:::our-own-bucket"
    assert buckets.delete(node) is None
    assert buckets.aws.call_counter.writes == 0
    s3.head_bucket(Bucket="our-own-bucket")
    s3.delete_bucket(Bucket="our-own-bucket")


@pytest.fixture
def objects(open_harness, embedded_aws):
    """A bench for objects, with a bucket to put them in."""
    s3 = embedded_aws.client("s3")
    s3.create_bucket(Bucket="data")
    yield open_harness(DatasetObject, outputs={BUCKET: {"name": "data"}})
    for found in s3.list_objects_v2(Bucket="data").get("Contents", []):
        s3.delete_object(Bucket="data", Key=found["Key"])
    s3.delete_bucket(Bucket="data")


def test_objects_are_addressed_by_content(objects, service):
    """One object a channel, each alone under its key; other rows are other objects, and the old ones stay."""
    channels = {name: blob(name.encode()) for name in ("train", "validation", "test")}
    nodes = objects.nodes(service(inputs=ResolvedInputs(channels=channels)))
    assert [node.key.name for node in nodes] == [f"housing-model/{name}" for name in ("test", "train", "validation")]
    urls = [objects.apply(node).outputs["url"] for node in nodes]
    assert urls[1] == f"s3://data/datasets/housing-model/{channels['train'].sha256}/train.csv"
    assert all(objects.changes(node) == () for node in nodes)
    assert objects.writes(lambda: objects.apply(nodes[0])) == 0
    other = objects.nodes(service(inputs=ResolvedInputs(channels={"train": blob(b"more")})))[0]
    assert other.identity != nodes[1].identity
    assert objects.resource.superseded_policy == "collect"
    assert [objects.delete(node) for node in nodes] == [None] * 3
    assert objects.delete(nodes[0]) is None
    assert objects.observe(nodes[0]) is None


def test_a_tampered_object_is_put_again(objects, service, embedded_aws):
    """Its key promises a content; what S3 checked tells that another is there, checksum or none."""
    node = objects.nodes(service(inputs=ResolvedInputs(channels={"train": blob(b"rows")})))[0]
    objects.apply(node)
    embedded_aws.client("s3").put_object(Bucket="data", Key=node.identity["key"], Body=b"other rows")
    assert "content" in [change.path for change in objects.changes(node)]
    objects.apply(node, Action.UPDATE)
    assert objects.changes(node) == ()
    body = objects.aws.read("s3", "get_object", Bucket="data", Key=node.identity["key"])["Body"]
    assert body.read() == b"rows"


def test_content_that_is_not_what_it_says_is_refused(objects, service):
    """S3 checks the digest of what arrives, so a wrong file never gets a right key."""
    wrong = replace(blob(b"rows"), load=lambda: b"other")
    node = objects.nodes(service(inputs=ResolvedInputs(channels={"train": wrong})))[0]
    with pytest.raises(Exception, match=r"s3\.put_object") as caught:
        objects.resource.apply(objects.aws, Step(Action.CREATE, node, node.key), None)
    assert not isinstance(caught.value, ConflictError)
    assert objects.observe(node) is None
