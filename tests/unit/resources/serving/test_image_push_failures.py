"""What can go wrong between a registry and us: each has an error that says what it is, and the next try resumes.

Against the embedded ECR, with its faults; what only a real registry does is in tests/containers.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from hashlib import sha256
from pathlib import Path
from typing import Any, Self

import pytest

from controller.aws.ecr_repository import EcrRepository
from controller.bundle import Bundle
from controller.bundle.image import AssembledImage, assemble_image
from controller.bundle.layers import pack_model_layer
from controller.bundle.publish import publish_image
from controller.bundle.runtime_files import PYTHON_VERSION, Runtime
from controller.core.status import Failed, Waiting, verdict_for_error
from controller.errors import (
    AnswerLostError,
    BundleError,
    CredentialsError,
    FailedError,
    QuotaError,
    UnavailableError,
)
from inference_server.manifest import Feature, Manifest, ModelFile, Target

ROOT = Path(__file__).resolve().parents[4]
MODEL = b"a model, as far as an image is concerned"
FILE = ModelFile(sha256(MODEL).hexdigest(), len(MODEL))
BUNDLE = Bundle(MODEL, Manifest("m", FILE, (Feature("a"),), Target("y"), "reg:squarederror", "3.2.0"))
BASE_LAYER = b"a layer of the base"


def digest(content: bytes) -> str:
    return f"sha256:{sha256(content).hexdigest()}"


class BaseLayerSource:
    """Where the base's layers are: `content` is what it gives, whatever it is asked for."""

    def __init__(self, content: bytes = BASE_LAYER) -> None:
        self.content = content

    def fetch_blob(self, _: str) -> BaseLayerSource:
        return self

    def chunks(self, size: int = 1) -> Any:
        del size
        yield self.content

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def image() -> AssembledImage:
    """A model on a base of one layer."""
    config = {"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": [digest(b"plain")]}}
    packed = json.dumps(config).encode()
    parts = [{"mediaType": "m", "digest": digest(packed), "size": len(packed)}]
    kind = "application/vnd.oci.image.layer.v1.tar+gzip"
    parts.append({"mediaType": kind, "digest": digest(BASE_LAYER), "size": len(BASE_LAYER)})
    manifest = json.dumps({"schemaVersion": 2, "config": parts[0], "layers": parts[1:]}).encode()
    return assemble_image(
        manifest, packed, [pack_model_layer(BUNDLE)], runtime=Runtime(PYTHON_VERSION, "amd64"), server_version="1"
    )


@pytest.fixture
def repository(harness: Any, spec_context: Any, request: pytest.FixtureRequest) -> EcrRepository:
    """An empty repository."""
    name = f"wrong-{abs(hash(request.node.name)) % 10**8}"
    return EcrRepository(harness.aws, harness.apply(harness.node("ecr/repository", spec_context(name))).outputs["name"])


def uploads(harness: Any) -> int:
    return int(harness.aws.call_counter.counts_by_name().get("ecr.complete_layer_upload", 0))


FAULTS = [
    # The registry is down, or its answer is lost, in mid-push: look again soon.
    ({"call": "ecr.UploadLayerPart", "kind": "error", "nth": 2}, AnswerLostError, Waiting),
    ({"call": "ecr.CompleteLayerUpload", "kind": "lost", "nth": 2}, AnswerLostError, Waiting),
    ({"call": "ecr.PutImage", "kind": "lost"}, AnswerLostError, Waiting),
    ({"call": "ecr.BatchCheckLayerAvailability", "kind": "error", "times": 4}, UnavailableError, Waiting),
    # It received other bytes than were promised.
    (
        {"call": "ecr.CompleteLayerUpload", "kind": "error", "code": "InvalidLayerException", "status": 400},
        UnavailableError,
        Waiting,
    ),
    # A layer or a repository that is too large.
    (
        {"call": "ecr.UploadLayerPart", "kind": "error", "code": "LimitExceededException", "status": 400},
        QuotaError,
        Failed,
    ),
    # The session's token has expired.
    (
        {"call": "ecr.InitiateLayerUpload", "kind": "error", "code": "ExpiredTokenException", "status": 400},
        CredentialsError,
        Failed,
    ),
]


@pytest.mark.parametrize(
    ("fault", "error", "verdict"), FAULTS, ids=[f"{f['call']} {f.get('code', f['kind'])}" for f, _, _ in FAULTS]
)
def test_interrupted_push_is_reported_and_resumed(
    harness: Any,
    embedded_aws: Any,
    image: AssembledImage,
    repository: EcrRepository,
    fault: dict[str, Any],
    error: Any,
    verdict: Any,
) -> None:
    """One clear error; no image under the tag; and the next try sends what is missing, not what arrived."""
    embedded_aws.call_admin_endpoint("faults", "POST", [fault])
    try:
        with pytest.raises(error) as caught:
            publish_image(image, repository, BaseLayerSource(), "v1")
    finally:
        embedded_aws.call_admin_endpoint("faults", "DELETE")
    assert isinstance(verdict_for_error(caught.value), verdict)
    assert str(caught.value)
    arrived = len(
        {*image.base_layers, image.config_digest, image.layers[0].digest}
        - repository.missing_blobs([*image.base_layers, image.config_digest, image.layers[0].digest])
    )
    before = uploads(harness)
    publish_image(image, repository, BaseLayerSource(), "v1")
    assert uploads(harness) - before == 3 - arrived
    assert repository.get_manifest(tag="v1") == image.manifest


def test_base_layer_with_wrong_digest_is_refused(image: AssembledImage, repository: EcrRepository) -> None:
    """A layer of the base that isn't what its digest says doesn't get into the repository, and the right one does."""
    with pytest.raises(BundleError, match="other bytes than its manifest names"):
        publish_image(image, repository, BaseLayerSource(b"something else"), "v1")
    assert repository.missing_blobs([digest(b"something else"), digest(BASE_LAYER)]) == {
        digest(b"something else"),
        digest(BASE_LAYER),
    }
    publish_image(image, repository, BaseLayerSource(), "v1")


def test_existing_tag_with_other_content_is_refused(image: AssembledImage, repository: EcrRepository) -> None:
    """Somebody else's image under our tag: a failure with a way out, after which the push goes through."""
    other = json.loads(image.manifest) | {"annotations": {"by": "somebody"}}
    publish_image(image, repository, BaseLayerSource(), "mine")
    repository.put_manifest(json.dumps(other).encode(), other["mediaType"], "v1")
    with pytest.raises(FailedError, match="another image under this tag") as caught:
        publish_image(image, repository, BaseLayerSource(), "v1")
    assert "delete that image" in caught.value.hint
    repository.aws.write("ecr", "batch_delete_image", repositoryName=repository.name, imageIds=[{"imageTag": "v1"}])
    publish_image(image, repository, BaseLayerSource(), "v1")
    assert repository.get_manifest(tag="v1") == image.manifest


def test_full_disk_is_reported(tmp_path: Path) -> None:
    """A full disk is an error with its reason; half a file is not left; with room again the same layer is packed."""
    program = (
        "import resource, sys; from pathlib import Path; from controller.bundle import layers\n"
        "from controller.errors import BundleError\n"
        "import signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "layer = layers._pack_layer('dependencies', [('x', bytes(range(256)) * 4096)])\n"
        "hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))\n"
        "cache = Path(sys.argv[1])\n"
        "try: layers._store_cached(cache, 'inputs', layer)\n"
        "except BundleError as error: print(error)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))\n"
        "assert list(cache.iterdir()) == []\n"
        "layers._store_cached(cache, 'inputs', layer)\n"
        "assert layers._load_cached(cache, 'inputs') == layer\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "cache")],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "the packed dependencies can't be kept: File too large (make room" in done.stdout
