"""The image of a model version: put together and pushed into the embedded ECR, which verifies every blob."""

from __future__ import annotations

import io
import json
import tarfile
from hashlib import sha256
from typing import Any

import pytest

from controller.aws.ecr_repository import EcrRepository
from controller.bundle import layers, runtime_files
from controller.bundle.build import Bundle
from controller.core.values import digest
from controller.errors import BundleError, FailedError
from inference_server.manifest import Feature, Manifest, ModelFile, Target

KIND = "ecr/image"
MODEL = b"a model, as far as an image is concerned"
SHA = sha256(MODEL).hexdigest()
BUNDLE = Bundle(
    MODEL, Manifest("m", ModelFile(SHA, len(MODEL)), (Feature("a"),), Target("y"), "reg:squarederror", "3.2.0")
)


@pytest.fixture(scope="module")
def bundle_location(embedded_aws: Any) -> str:
    """A bucket with a bundle in it, and where that is."""
    s3 = embedded_aws.client("s3")
    s3.create_bucket(Bucket="artifacts")
    for name, content in BUNDLE.files().items():
        s3.put_object(Bucket="artifacts", Key=f"models/m/{name}", Body=content)
    return "s3://artifacts/models/m/"


@pytest.fixture
def image_node(harness: Any, spec_context: Any, bundle_location: str) -> Any:
    """A repository, and the node of an image in it: `ready(name, version=1)`."""

    def make(name: str, version: int = 1, sha: str = SHA, **spec: Any) -> Any:
        wanted = spec_context(name, **spec)
        repository = harness.apply(harness.node("ecr/repository", wanted)).outputs["name"]
        named = {("ecr/repository", "name"): repository}
        base = harness.apply(harness.node("ecr/base-image", wanted, named)).outputs["digest"]
        given = {
            **named,
            ("ecr/base-image", "digest"): base,
            ("model/selection", "version"): version,
            ("model/selection", "model_sha256"): sha,
            ("model/selection", "bundle"): bundle_location,
        }
        return harness.node(KIND, wanted, given)

    return make


def test_an_image_is_pushed_once_and_holds_the_model(harness: Any, image_node: Any, embedded_aws: Any) -> None:
    """The registry's image has the base below ours and the model's two files; a second time nothing is written."""
    node = image_node("pushed", 7)
    seen = harness.apply_until_stable(node)
    repository = EcrRepository(harness.aws, node.identity["repository"])
    manifest = repository.get_manifest(digest=seen.outputs["digest"])
    roles = {layer["annotations"]["dev.moorage.layer"]: layer["digest"] for layer in json.loads(manifest)["layers"]}
    assert list(roles) == ["base", "dependencies", "server", "model"]
    with repository.fetch_blob(roles["model"]) as body, tarfile.open(fileobj=io.BytesIO(body.read())) as archive:
        files = {member.name: archive.extractfile(member).read() for member in archive}  # type: ignore[union-attr]
    assert files["opt/model/model.ubj"] == MODEL
    assert json.loads(files["opt/model/manifest.json"])["version"] == 7
    assert seen.outputs["uri"].endswith(f"{node.identity['repository']}@{seen.outputs['digest']}")
    assert seen.outputs["tag"].startswith("v7-")
    harness.delete_until_absent(node)


def test_the_next_version_pushes_only_what_is_new(harness: Any, image_node: Any) -> None:
    """Base, dependencies and server are there already; one layer is sent, the config, and the bill of materials."""
    harness.apply_until_stable(image_node("grown", 1))
    before = harness.aws.call_counter.counts_by_name()
    harness.apply_until_stable(image_node("grown", 2))
    after = harness.aws.call_counter.counts_by_name()
    assert after["ecr.complete_layer_upload"] - before["ecr.complete_layer_upload"] == 3
    assert harness.observe(image_node("grown", 1), image_node("grown", 2)).keys() == {image_node("grown", 1).key}


def test_the_tag_follows_from_the_parts(harness: Any, image_node: Any) -> None:
    """Equal identities have equal tags; another version, another tag; the older image stays."""
    one, two = image_node("tagged", 1), image_node("tagged", 2)
    tags = [harness.apply(node).outputs["tag"] for node in (one, two)]
    assert tags == [f"v1-{digest(one.identity)[:12]}", f"v2-{digest(two.identity)[:12]}"]
    assert harness.observe(one)[one.key].outputs["tag"] == tags[0]


def test_a_bundle_with_another_model_is_refused(harness: Any, image_node: Any) -> None:
    """What was selected is the model, not the place: other bytes there are no image."""
    node = image_node("swapped", sha="0" * 64)
    with pytest.raises(BundleError, match="another model than the version"):
        harness.apply(node)
    assert harness.observe(node) == {}


def test_foreign_image_with_the_same_tag_is_not_adopted(harness: Any, image_node: Any) -> None:
    """Tags can't be moved, so a push that finds its tag taken by other content fails instead of serving that."""
    node = image_node("squatted")
    made = harness.apply(node)
    repository = EcrRepository(harness.aws, node.identity["repository"])
    other = json.loads(repository.get_manifest(digest=made.outputs["digest"])) | {"annotations": {"by": "somebody"}}
    with pytest.raises(FailedError, match="another image under this tag"):
        repository.put_manifest(json.dumps(other).encode(), other["mediaType"], made.outputs["tag"])


def test_an_image_for_the_other_architecture(harness: Any, image_node: Any) -> None:
    """Another architecture is another base, other packages (which are kept after the first time) and another config."""
    node = image_node("elsewhere-bound", image={"architecture": "arm64"})
    inputs = sha256(f"{layers.LAYER_FORMAT} {runtime_files.locked_digest('arm64')}".encode()).hexdigest()
    made = layers._pack_layer(
        "dependencies", [("opt/moorage/lib/for-arm64", b"packages of wheels, in a test without an index")]
    )
    layers._store_cached(harness.registry[KIND].resource_context.cache_directory, inputs, made)
    repository, seen = EcrRepository(harness.aws, node.identity["repository"]), harness.apply_until_stable(node)
    manifest = repository.get_manifest(digest=seen.outputs["digest"])
    with repository.fetch_blob(json.loads(manifest)["config"]["digest"]) as body:
        assert json.loads(body.read())["architecture"] == "arm64"
    assert made.digest in manifest.decode()


def test_large_blobs_go_in_parts(harness: Any, spec_context: Any) -> None:
    """A blob larger than ECR's part size arrives whole."""
    name = harness.apply(harness.node("ecr/repository", spec_context("parts"))).outputs["name"]
    repository, content = EcrRepository(harness.aws, name), bytes(25 << 20)
    blob = f"sha256:{sha256(content).hexdigest()}"
    repository.push_blob(blob, (content[start : start + (3 << 20)] for start in range(0, len(content), 3 << 20)))
    assert repository.missing_blobs([blob]) == set()
    assert harness.aws.call_counter.counts_by_name()["ecr.upload_layer_part"] > 1
    with repository.fetch_blob(blob) as body:
        assert sha256(body.read()).hexdigest() == blob.removeprefix("sha256:")
