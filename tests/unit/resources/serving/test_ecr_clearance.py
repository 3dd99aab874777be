"""What may be deployed: an image without findings that forbid it, signed by the spec's key.

And what is told about it.
"""

from __future__ import annotations

import json
from dataclasses import replace
from hashlib import sha256
from typing import Any

import pytest

from controller.aws.ecr_repository import EcrRepository
from controller.bundle import sbom, signature
from controller.bundle.build import Bundle
from controller.bundle.referrer import make_referrer
from controller.core.status import Held, Ready, Waiting
from inference_server.manifest import Feature, Manifest, ModelFile, Target

KIND = "ecr/clearance"
MODEL = b"a model, as far as an image is concerned"
LINEAGE = {"commit": "c0ffee", "data_digest": "d" * 64, "fingerprint": "f" * 64, "training_job": "arn:job"}
FILE = ModelFile(sha256(MODEL).hexdigest(), len(MODEL))
BUNDLE = Bundle(MODEL, Manifest("m", FILE, (Feature("a"),), Target("y"), "reg:squarederror", "3.2.0", lineage=LINEAGE))


@pytest.fixture(scope="module")
def key(embedded_aws: Any) -> str:
    """A KMS key for signing."""
    made = embedded_aws.client("kms").create_key(KeyUsage="SIGN_VERIFY", KeySpec="ECC_NIST_P256")
    return str(made["KeyMetadata"]["Arn"])


@pytest.fixture(scope="module")
def create_image_clearance(harness: Any, spec_context: Any, embedded_aws: Any) -> Any:
    """Make a spec's image and give its clearance: `made(name, maxSeverity="high")`."""
    s3 = embedded_aws.client("s3")
    s3.create_bucket(Bucket="cleared")
    for name, content in BUNDLE.files().items():
        s3.put_object(Bucket="cleared", Key=f"m/{name}", Body=content)
    reported = {"version": 1, "model_sha256": FILE.sha256, "bundle": "s3://cleared/m/", "fingerprint": "f"}

    def make(name: str, **image: Any) -> Any:
        given = {("model/selection", output): value for output, value in reported.items()}
        for kind in ("ecr/repository", "ecr/base-image", "ecr/image"):
            outputs = harness.apply_until_stable(harness.node(kind, spec_context(name, image=image), given)).outputs
            given |= {(kind, output): value for output, value in outputs.items()}
        return harness.node(KIND, spec_context(name, image=image), given)

    return make


def test_without_limits_no_clearance_is_required(harness: Any, spec_context: Any) -> None:
    """No field, no node, no call: the image is deployed as it is."""
    assert harness.nodes(KIND, spec_context("unasked")) == []


@pytest.mark.parametrize(
    ("found", "worst", "said"),
    [
        ({}, "low", ""),
        ({"INFORMATIONAL": 9, "UNDEFINED": 2}, "low", ""),
        ({"LOW": 3, "MEDIUM": 2}, "high", ""),
        ({"HIGH": 1}, "high", "1 high"),
        ({"CRITICAL": 2, "HIGH": 1, "LOW": 4}, "medium", "2 critical, 1 high"),
        ({"HIGH": 7}, "critical", ""),
        ({"LOW": 1}, "low", "1 low"),
    ],
)
def test_findings_at_or_above_the_limit_hold_the_image(
    harness: Any, create_image_clearance: Any, embedded_aws: Any, found: dict[str, int], worst: str, said: str
) -> None:
    """The worst that may be found is below the limit; what was found is told by severity."""
    node = create_image_clearance("scanned", maxSeverity=worst)
    embedded_aws.call_admin_endpoint("findings", "PUT", found)
    verdict = harness.verdict(node)
    embedded_aws.call_admin_endpoint("findings", "PUT", {})
    if said:
        assert isinstance(verdict, Held)
        assert f"found {said}; image.maxSeverity is {worst}" in verdict.message
    else:
        assert verdict == Ready()


def test_a_scan_under_way_is_waited_for_and_one_that_failed_holds(harness: Any, create_image_clearance: Any) -> None:
    """No scan yet and one in progress are waited for.

    A scan that can't be had is not taken for one that found nothing.
    """
    node = create_image_clearance("scanning", maxSeverity="high")
    kind, seen = harness.registry[KIND], harness.observe(node)[node.key]
    for status, expected in (("PENDING", Waiting), ("IN_PROGRESS", Waiting), ("ACTIVE", Ready), ("COMPLETE", Ready)):
        assert isinstance(kind.ready(node, replace(seen, outputs={**seen.outputs, "scan": status})), expected)
    for status in ("FAILED", "UNSUPPORTED_IMAGE", "SCAN_ELIGIBILITY_EXPIRED", "FINDINGS_UNAVAILABLE"):
        verdict = kind.ready(node, replace(seen, outputs={**seen.outputs, "scan": status}))
        assert isinstance(verdict, Held)
        assert status in verdict.message


def test_a_signed_image_is_cleared(harness: Any, create_image_clearance: Any, key: str) -> None:
    """What the controller makes is signed by the key, and the signature is verified with it."""
    node = create_image_clearance("signed", signing={"key": key})
    assert harness.observe(node)[node.key].outputs["signed"] is True
    assert harness.verdict(node) == Ready()


def test_an_image_that_is_not_signed_or_falsely_is_held(
    harness: Any, create_image_clearance: Any, key: str, embedded_aws: Any
) -> None:
    """No signature, another key's, another image's, and nonsense: none of them is one."""
    kms = embedded_aws.client("kms")
    other = kms.create_key(KeyUsage="SIGN_VERIFY", KeySpec="ECC_NIST_P256")["KeyMetadata"]["Arn"]
    plain = create_image_clearance("unsigned", maxSeverity="high")
    identity = {**plain.identity, "maxSeverity": "", "key": key}
    node = replace(plain, identity=identity)
    assert isinstance(harness.verdict(node), Held)
    repository, digest = EcrRepository(harness.aws, identity["repository"]), identity["digest"]
    name, manifest = identity["uri"].partition("@")[0], repository.get_manifest(digest=digest)

    def sign(by: str, message: bytes) -> bytes:
        asked = {"KeyId": by, "Message": message, "MessageType": "RAW", "SigningAlgorithm": "ECDSA_SHA_256"}
        return bytes(kms.sign(**asked)["Signature"])

    message = signature.build_payload(name, digest)
    for false in (sign(other, message), sign(key, message + b" "), b"nonsense"):
        attach(repository, signature.make_signature_referrer(manifest, name, false))
        verdict = harness.verdict(node)
        assert isinstance(verdict, Held)
        assert verdict.reason == "NotSigned"
    attach(repository, signature.make_signature_referrer(manifest, name, sign(key, message)))
    assert harness.verdict(node) == Ready()


def attach(repository: EcrRepository, referrer: Any) -> None:
    for digest, content in referrer.blobs.items():
        repository.push_blob(digest, [content])
    repository.put_manifest(referrer.manifest, "application/vnd.oci.image.manifest.v1+json", "")


def test_a_bill_of_materials_points_at_the_image(harness: Any, create_image_clearance: Any) -> None:
    """Beside the image, as its referrer: CycloneDX of the locked packages, the server, the model and the base."""
    node = create_image_clearance("billed", maxSeverity="high")
    repository, digest = EcrRepository(harness.aws, node.identity["repository"]), node.identity["digest"]
    (manifest,) = (json.loads(found) for found in repository.iter_referrers(digest, sbom.MEDIA_TYPE))
    assert manifest["subject"]["digest"] == digest
    with repository.fetch_blob(manifest["layers"][0]["digest"]) as body:
        document = json.loads(body.read())
    assert (document["bomFormat"], document["specVersion"]) == ("CycloneDX", "1.6")
    assert document["metadata"]["component"]["version"] == digest
    named = {component["name"]: component for component in document["components"]}
    assert {"aiohttp", "xgboost-cpu", "uvloop", "moorage-inference-server", "base", "m"} <= named.keys()
    assert not {"numpy", "scipy", "boto3"} & named.keys()
    assert named["m"]["hashes"][0]["content"] == FILE.sha256
    assert named["aiohttp"]["purl"].startswith("pkg:pypi/aiohttp@3.")
    # The embedded AWS's base has a Python that its configuration names, and no dpkg.
    assert [one["purl"] for one in named["base"]["components"]] == ["pkg:generic/python@3.11"]
    assert "no dpkg database" in named["base"]["properties"][0]["value"]
    assert document["compositions"] == [{"aggregate": "incomplete", "assemblies": ["base"]}]


def test_provenance_stands_in_annotations(harness: Any, create_image_clearance: Any) -> None:
    """Commit, data, training job, fingerprint, model and base can be read off the image's manifest."""
    node = create_image_clearance("annotated", maxSeverity="high")
    reported = json.loads(
        EcrRepository(harness.aws, node.identity["repository"]).get_manifest(digest=node.identity["digest"])
    )
    annotations = reported["annotations"]
    assert annotations["org.opencontainers.image.revision"] == "c0ffee"
    assert annotations["dev.moorage.data"] == "d" * 64
    assert annotations["dev.moorage.training-job"] == "arn:job"
    assert annotations["dev.moorage.fingerprint"] == "f" * 64
    assert annotations["dev.moorage.model"] == FILE.sha256
    assert annotations["org.opencontainers.image.base.digest"].startswith("sha256:")


def test_an_image_with_a_referrer_can_be_removed(harness: Any, create_image_clearance: Any) -> None:
    """What points at an image goes with it."""
    node = create_image_clearance("removed", maxSeverity="high")
    repository, digest = EcrRepository(harness.aws, node.identity["repository"]), node.identity["digest"]
    name = node.identity["repository"]
    harness.aws.write("ecr", "batch_delete_image", repositoryName=name, imageIds=[{"imageDigest": digest}])
    assert list(repository.iter_referrers(digest, sbom.MEDIA_TYPE)) == []


def test_equal_referrers_are_equal_bytes() -> None:
    """Nothing of the day is in them."""
    assert make_referrer(b"{}", "t", b"x", "m") == make_referrer(b"{}", "t", b"x", "m")
    assert make_referrer(b"{}", "t", b"x", "m").manifest != make_referrer(b"{ }", "t", b"x", "m").manifest
