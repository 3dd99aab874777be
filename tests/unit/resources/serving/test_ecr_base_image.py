"""The base image: a tag is resolved once, and what it meant is kept beside the model's images."""

from __future__ import annotations

import json
from typing import Any

import pytest

from controller.aws.ecr_repository import EcrRepository
from controller.bundle.image import compute_digest, select_platform
from controller.bundle.publish import copy_blob
from controller.errors import BundleError
from controller.resources.ecr_base_image import DEFAULT_BASE

KIND = "ecr/base-image"
UPSTREAM = DEFAULT_BASE.partition(":")[0]
HOST = "123456789012.dkr.ecr.us-east-1.amazonaws.com"


@pytest.fixture
def node(harness: Any, spec_context: Any) -> Any:
    """The node of a base in a repository that is there: `node(name, base=…)`."""

    def make(name: str, **image: Any) -> Any:
        wanted = spec_context(name, image=image)
        repository = harness.apply(harness.node("ecr/repository", wanted)).outputs["name"]
        return harness.node(KIND, wanted, {("ecr/repository", "name"): repository})

    return make


def test_a_base_is_copied_for_its_architecture(harness: Any, node: Any) -> None:
    """The copy is the index's manifest for the platform, byte by byte; done twice nothing is written.

    It can be removed.
    """
    digests = set()
    for architecture in ("amd64", "arm64"):
        wanted = node("copied", architecture=architecture)
        seen = harness.apply_until_stable(wanted)
        source, copied = EcrRepository(harness.aws, UPSTREAM), EcrRepository(harness.aws, wanted.identity["repository"])
        expected = select_platform(source.get_manifest(tag=DEFAULT_BASE.rpartition(":")[2]), architecture)
        assert seen.outputs["digest"] == expected
        assert copied.get_manifest(digest=expected) == source.get_manifest(digest=expected)
        digests.add(expected)
    assert len(digests) == 2
    harness.delete_until_absent(wanted)


def test_moved_upstream_tag_is_not_followed(harness: Any, node: Any, embedded_aws: Any) -> None:
    """Resolved once and recorded: after the upstream's tag means another image, and even after it is gone, ours is as
    it was.
    """
    ecr = embedded_aws.client("ecr")
    ecr.create_repository(repositoryName="team/python")
    upstream, source = EcrRepository(harness.aws, "team/python"), EcrRepository(harness.aws, UPSTREAM)
    for version, tag in (("3.11-slim", "1"), ("3.12-slim", "2")):
        manifest = source.get_manifest(digest=select_platform(source.get_manifest(tag=version), "amd64"))
        document = json.loads(manifest)
        for blob in upstream.missing_blobs(
            [document["config"]["digest"], *(layer["digest"] for layer in document["layers"])]
        ):
            copy_blob(blob, source, upstream)
        upstream.put_manifest(manifest, document["mediaType"], tag)
    pinned = compute_digest(upstream.get_manifest(tag="1"))
    wanted = node("unmoved", base=f"{HOST}/team/python:1")
    assert harness.apply_until_stable(wanted).outputs["digest"] == pinned
    ecr.batch_delete_image(repositoryName="team/python", imageIds=[{"imageTag": "1"}])
    moved = upstream.get_manifest(tag="2").decode()
    ecr.put_image(repositoryName="team/python", imageManifest=moved, imageTag="1")
    assert harness.apply_until_stable(wanted).outputs["digest"] == pinned
    ecr.delete_repository(repositoryName="team/python", force=True)
    assert harness.apply_until_stable(wanted).outputs["digest"] == pinned


def test_a_base_is_found_by_its_full_name_and_digest(harness: Any, node: Any) -> None:
    """A pinned base is taken from the registry that its name says, by its digest, be it an index or an image."""
    pin = compute_digest(EcrRepository(harness.aws, UPSTREAM).get_manifest(tag=DEFAULT_BASE.rpartition(":")[2]))
    harness.apply_until_stable(node("pinned", base=f"{HOST}/{UPSTREAM}@{pin}"))


def test_a_base_elsewhere_is_refused_with_a_way_out(harness: Any, node: Any) -> None:
    """A registry that isn't this region's ECR can't be read; the error says what to do."""
    with pytest.raises(BundleError, match="pull-through cache"):
        harness.apply(node("elsewhere", base=f"docker.io/library/python@sha256:{'a' * 64}"))


@pytest.mark.parametrize("base", [f"{HOST}/no/such@sha256:{'a' * 64}", f"{HOST}/{UPSTREAM}:2.7"])
def test_missing_base_image_is_reported(harness: Any, node: Any, base: str) -> None:
    """Neither the repository nor the tag being there is a plain failure, with what to do, and nothing is written."""
    wanted = node("gone", base=base)
    before = harness.aws.call_counter.counts_by_name().get("ecr.initiate_layer_upload")
    with pytest.raises(BundleError, match="the base image is not there"):
        harness.apply(wanted)
    assert harness.aws.call_counter.counts_by_name().get("ecr.initiate_layer_upload") == before
