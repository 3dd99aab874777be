"""The repository of a model's images, against the embedded ECR."""

from __future__ import annotations

from typing import Any

import pytest

from controller.errors import ForeignError

KIND = "ecr/repository"


def test_a_repository_is_made_kept_and_removed(harness: Any, spec_context: Any, embedded_aws: Any) -> None:
    """It is made with immutable tags and scans; done twice nothing is written; deleted twice it is gone."""
    node = harness.node(KIND, spec_context())
    seen = harness.apply_until_stable(node)
    (live,) = embedded_aws.client("ecr").describe_repositories(repositoryNames=[seen.outputs["name"]])["repositories"]
    assert live["imageTagMutability"] == "IMMUTABLE"
    assert live["imageScanningConfiguration"] == {"scanOnPush": True}
    assert seen.outputs["uri"].endswith(seen.outputs["name"])
    harness.delete_until_absent(node)


def test_drift_is_corrected(harness: Any, spec_context: Any, embedded_aws: Any) -> None:
    """What somebody changed by hand differs by field, and is as before after an update; their own tags stay."""
    node = harness.node(KIND, spec_context("drifting"))
    seen, ecr = harness.apply_until_stable(node), embedded_aws.client("ecr")
    name, arn = seen.outputs["name"], seen.outputs["arn"]
    ecr.put_image_tag_mutability(repositoryName=name, imageTagMutability="MUTABLE")
    ecr.put_image_scanning_configuration(repositoryName=name, imageScanningConfiguration={"scanOnPush": False})
    ecr.tag_resource(resourceArn=arn, tags=[{"Key": "team", "Value": "other"}, {"Key": "theirs", "Value": "1"}])
    assert [change.path for change in harness.changes(node)] == [
        "imageScanningConfiguration.scanOnPush",
        "imageTagMutability",
        "tags.team",
    ]
    harness.apply_until_stable(node)
    tags = {tag["Key"]: tag["Value"] for tag in ecr.list_tags_for_resource(resourceArn=arn)["tags"]}
    assert (tags["team"], tags["theirs"]) == ("pricing", "1")
    harness.delete_until_absent(node)


def test_a_label_that_was_dropped_is_untagged(harness: Any, spec_context: Any) -> None:
    """A tag that was put once and is no longer wanted goes."""
    wanted = spec_context("labelled")
    node = harness.node(KIND, wanted)
    harness.apply_until_stable(node)
    without = {key: value for key, value in node.desired["tags"].items() if key != "team"}
    bare = type(node)(node.key, node.identity, {**node.desired, "tags": without}, node.reads)
    assert [change.path for change in harness.changes(bare)] == ["tags.team"]
    harness.apply_until_stable(bare)
    assert "team" not in harness.observe(bare)[bare.key].fields["tags"]
    harness.delete_until_absent(bare)


def test_encryption_key_is_immutable(harness: Any, spec_context: Any, embedded_aws: Any) -> None:
    """With a key it is ECR's KMS encryption; another key, or none, is a repository of another name, beside it."""
    keys = [f"arn:aws:kms:us-east-1:123456789012:key/{number}" for number in (1, 2)]
    nodes = [harness.node(KIND, spec_context("secret", image={"encryption": {"key": key}})) for key in keys]
    plain = harness.node(KIND, spec_context("secret"))
    assert len({node.identity["name"] for node in (*nodes, plain)}) == 3
    for node, key in zip(nodes, keys, strict=True):
        seen = harness.apply_until_stable(node)
        (live,) = embedded_aws.client("ecr").describe_repositories(repositoryNames=[seen.outputs["name"]])[
            "repositories"
        ]
        assert live["encryptionConfiguration"] == {"encryptionType": "KMS", "kmsKey": key}
    changed = {**nodes[0].desired, "encryptionConfiguration": nodes[1].desired["encryptionConfiguration"]}
    other = type(plain)(nodes[0].key, nodes[0].identity, changed, nodes[0].reads)
    assert [change.path for change in harness.changes(other)] == ["encryptionConfiguration.kmsKey"]
    for node in nodes:
        harness.delete_until_absent(node)


def test_many_are_found_though_one_is_missing(harness: Any, spec_context: Any) -> None:
    """One missing name fails ECR's whole call, and hides no other repository."""
    first, missing, second = (harness.node(KIND, spec_context(name)) for name in ("one", "none", "two"))
    harness.apply_until_stable(first)
    harness.apply_until_stable(second)
    assert harness.observe(first, missing, second).keys() == {first.key, second.key}
    harness.delete_until_absent(first)
    harness.delete_until_absent(second)


def test_a_foreign_repository_is_refused(harness: Any, spec_context: Any, embedded_aws: Any) -> None:
    """One of our name that carries no tag of ours is not touched."""
    node = harness.node(KIND, spec_context("foreign"))
    embedded_aws.client("ecr").create_repository(repositoryName=node.identity["name"])
    with pytest.raises(ForeignError, match="nobody that Moorage knows"):
        harness.apply(node)
