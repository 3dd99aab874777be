"""ECR's layer and image API: AWS's checks are applied, and content is returned byte for byte."""

from __future__ import annotations

import json
import urllib.request
from hashlib import sha256
from typing import Any

import pytest

from embedded_aws.images import base_image

OCI = "application/vnd.oci.image.manifest.v1+json"
MIB = 1024 * 1024
BASE = "ecr-public/docker/library/python"
# The seeded image is the same on every machine. A new digest means that its bytes changed.
BASE_DIGEST = "sha256:21156e56f51b8aaa2b4e567a3db41f23facdd7839590d166bae3a35a81fefd5d"


def digest_of(content: bytes) -> str:
    return f"sha256:{sha256(content).hexdigest()}"


def error_code(ecr: Any, call: str, **params: Any) -> str:
    """Return the error code that refuses a call."""
    with pytest.raises(ecr.exceptions.ClientError) as caught:
        getattr(ecr, call)(**params)
    return caught.value.response["Error"]["Code"]


def upload(ecr: Any, repository: str, content: bytes, part_size: int = 10 * MIB, promise: str = "") -> str:
    upload_id = ecr.initiate_layer_upload(repositoryName=repository)["uploadId"]
    for first in range(0, len(content), part_size):
        part = content[first : first + part_size]
        ecr.upload_layer_part(
            repositoryName=repository,
            uploadId=upload_id,
            partFirstByte=first,
            partLastByte=first + len(part) - 1,
            layerPartBlob=part,
        )
    done = ecr.complete_layer_upload(
        repositoryName=repository, uploadId=upload_id, layerDigests=[promise or digest_of(content)]
    )
    return done["layerDigest"]


def manifest(config: bytes, *layers: bytes, **extra: Any) -> str:
    def descriptor(kind: str, content: bytes) -> dict[str, Any]:
        return {"mediaType": f"application/vnd.oci.image.{kind}", "digest": digest_of(content), "size": len(content)}

    return json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": OCI,
            "config": descriptor("config.v1+json", config),
            "layers": [descriptor("layer.v1.tar+gzip", layer) for layer in layers],
            **extra,
        }
    )


@pytest.fixture
def ecr(embedded_aws):
    return embedded_aws.client("ecr")


@pytest.fixture
def repository(ecr, request):
    name = f"r/{request.node.name.lower().replace('_', '-')[:60].strip('-')}"
    ecr.create_repository(repositoryName=name)
    return name


def test_a_layer_in_parts_comes_back_byte_for_byte(ecr, repository) -> None:
    """Parts of the announced size make one layer, found by its digest and downloadable from ECR's URL."""
    content = bytes(range(256)) * (11 * MIB // 256)
    assert ecr.initiate_layer_upload(repositoryName=repository)["partSize"] == 10 * MIB
    digest = upload(ecr, repository, content)
    assert digest == digest_of(content)
    answer = ecr.batch_check_layer_availability(repositoryName=repository, layerDigests=[digest, digest_of(b"no")])
    assert [(layer["layerDigest"], layer["layerSize"]) for layer in answer["layers"]] == [(digest, len(content))]
    assert [failure["failureCode"] for failure in answer["failures"]] == ["MissingLayerDigest"]
    url = ecr.get_download_url_for_layer(repositoryName=repository, layerDigest=digest)["downloadUrl"]
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url) as answer:
        assert answer.read() == content


def test_invalid_layer_parts_are_refused(ecr, repository) -> None:
    """Parts that leave a gap, have a wrong length, exceed 20 MiB or are too small before the last one are refused."""
    upload_id = ecr.initiate_layer_upload(repositoryName=repository)["uploadId"]
    part = {"repositoryName": repository, "uploadId": upload_id}
    over = 20 * MIB + 1
    assert error_code(ecr, "upload_layer_part", **part, partFirstByte=1, partLastByte=3, layerPartBlob=b"abc") == (
        "InvalidLayerPartException"
    )
    assert error_code(ecr, "upload_layer_part", **part, partFirstByte=0, partLastByte=9, layerPartBlob=b"abc") == (
        "InvalidLayerPartException"
    )
    assert error_code(
        ecr, "upload_layer_part", **part, partFirstByte=0, partLastByte=over - 1, layerPartBlob=bytes(over)
    ) == ("InvalidParameterException")
    assert error_code(ecr, "complete_layer_upload", **part, layerDigests=[digest_of(b"")]) == "EmptyUploadException"
    for first in (0, 3):
        ecr.upload_layer_part(**part, partFirstByte=first, partLastByte=first + 2, layerPartBlob=b"abc")
    assert error_code(ecr, "complete_layer_upload", **part, layerDigests=[digest_of(b"abcabc")]) == (
        "LayerPartTooSmallException"
    )
    part["uploadId"] = "00000000-0000-0000-0000-000000000000"
    assert error_code(ecr, "upload_layer_part", **part, partFirstByte=0, partLastByte=0, layerPartBlob=b"a") == (
        "UploadNotFoundException"
    )


def test_a_layer_must_match_its_digest(ecr, repository) -> None:
    """A digest that doesn't match the content is refused and stores nothing. A second upload of a layer is refused."""
    with pytest.raises(ecr.exceptions.InvalidLayerException):
        upload(ecr, repository, b"one", promise=digest_of(b"other"))
    for content in (b"one", b"other"):
        answer = ecr.batch_check_layer_availability(repositoryName=repository, layerDigests=[digest_of(content)])
        assert answer["layers"] == []
    upload(ecr, repository, b"one")
    with pytest.raises(ecr.exceptions.LayerAlreadyExistsException):
        upload(ecr, repository, b"one")


def test_an_image_needs_all_its_parts(ecr, repository) -> None:
    """PutImage refuses a manifest until every layer and the config exist in the same repository."""
    put = {"repositoryName": repository, "imageManifest": manifest(b"{}", b"layer"), "imageTag": "1"}
    assert error_code(ecr, "put_image", **put) == "LayersNotFoundException"
    upload(ecr, repository, b"layer")
    assert error_code(ecr, "put_image", **put) == "LayersNotFoundException"
    ecr.create_repository(repositoryName=f"{repository}/other")
    upload(ecr, f"{repository}/other", b"{}")
    assert error_code(ecr, "put_image", **put) == "LayersNotFoundException"
    upload(ecr, repository, b"{}")
    image = ecr.put_image(**put)["image"]
    assert image["imageId"] == {"imageDigest": digest_of(put["imageManifest"].encode()), "imageTag": "1"}


def test_an_images_digest_is_its_manifests_digest(ecr, repository) -> None:
    """A wrong imageDigest and text that is no manifest are refused.

    The stored manifest is returned by digest and by tag.
    """
    upload(ecr, repository, b"layer")
    upload(ecr, repository, b"{}")
    text = manifest(b"{}", b"layer", annotations={"note": "ü \u2028 kept as sent"})
    put = {"repositoryName": repository, "imageManifest": text, "imageTag": "1"}
    assert error_code(ecr, "put_image", **put, imageDigest=digest_of(b"x")) == "ImageDigestDoesNotMatchException"
    for broken in ("{", "[]", '{"schemaVersion": 2}', manifest(b"{}")):
        assert error_code(ecr, "put_image", **put | {"imageManifest": broken}) == "InvalidParameterException"
    digest = digest_of(text.encode())
    ecr.put_image(**put, imageDigest=digest)
    answer = ecr.batch_get_image(
        repositoryName=repository,
        imageIds=[{"imageDigest": digest}, {"imageTag": "1"}, {"imageTag": "2"}],
        acceptedMediaTypes=[OCI],
    )
    assert [image["imageManifest"] for image in answer["images"]] == [text, text]
    assert [failure["failureCode"] for failure in answer["failures"]] == ["ImageNotFound"]
    docker = ["application/vnd.docker.distribution.manifest.v2+json"]
    answer = ecr.batch_get_image(repositoryName=repository, imageIds=[{"imageTag": "1"}], acceptedMediaTypes=docker)
    assert answer["images"] == []
    details = ecr.describe_images(repositoryName=repository)["imageDetails"]
    assert [(d["imageDigest"], d["imageTags"], d["imageSizeInBytes"]) for d in details] == [(digest, ["1"], 7)]
    assert error_code(ecr, "describe_images", repositoryName=repository, imageIds=[{"imageTag": "2"}]) == (
        "ImageNotFoundException"
    )


def test_only_mutable_tags_move(ecr, repository) -> None:
    """A mutable tag moves and leaves the old image untagged.

    An immutable one doesn't, and a repeated push is refused.
    """
    texts = [manifest(b"{}", b"layer", annotations={"n": str(n)}) for n in range(2)]
    for name, setting in ((repository, "MUTABLE"), (f"{repository}/fixed", "IMMUTABLE")):
        if name != repository:
            ecr.create_repository(repositoryName=name, imageTagMutability=setting)
        upload(ecr, name, b"layer")
        upload(ecr, name, b"{}")
        ecr.put_image(repositoryName=name, imageManifest=texts[0], imageTag="1")
        again = {"repositoryName": name, "imageManifest": texts[0], "imageTag": "1"}
        assert error_code(ecr, "put_image", **again) == "ImageAlreadyExistsException"
        ecr.put_image(**again | {"imageTag": "latest"})
    ecr.put_image(repositoryName=repository, imageManifest=texts[1], imageTag="1")
    ids = ecr.list_images(repositoryName=repository)["imageIds"]
    assert {(i["imageDigest"], i["imageTag"]) for i in ids} == {
        (digest_of(texts[0].encode()), "latest"),
        (digest_of(texts[1].encode()), "1"),
    }
    moved = {"repositoryName": f"{repository}/fixed", "imageManifest": texts[1], "imageTag": "1"}
    assert error_code(ecr, "put_image", **moved) == "ImageTagAlreadyExistsException"
    ecr.put_image(**moved | {"imageTag": "2"})


def test_images_are_deleted_by_tag_or_digest(ecr, repository) -> None:
    """Deleting the last tag deletes the image. A digest deletes all tags, and is the only way to an untagged image."""
    upload(ecr, repository, b"layer")
    upload(ecr, repository, b"{}")
    texts = [manifest(b"{}", b"layer", annotations={"n": str(n)}) for n in range(3)]
    digests = [digest_of(text.encode()) for text in texts]
    for text, tag in ((texts[0], "a"), (texts[0], "b"), (texts[1], "c"), (texts[1], "d")):
        ecr.put_image(repositoryName=repository, imageManifest=text, imageTag=tag)
    ecr.put_image(repositoryName=repository, imageManifest=texts[2])

    def delete(**image_id: str) -> tuple[list[Any], list[str]]:
        answer = ecr.batch_delete_image(repositoryName=repository, imageIds=[image_id])
        return answer["imageIds"], [failure["failureCode"] for failure in answer["failures"]]

    assert delete(imageTag="a") == ([{"imageDigest": digests[0], "imageTag": "a"}], [])
    assert delete(imageTag="a") == ([], ["ImageNotFound"])
    assert delete(imageTag="b") == ([{"imageDigest": digests[0], "imageTag": "b"}], [])
    assert delete(imageDigest=digests[0]) == ([], ["ImageNotFound"])
    both = [{"imageDigest": digests[1], "imageTag": tag} for tag in "cd"]
    assert delete(imageDigest=digests[1]) == (both, [])
    assert delete(imageDigest=digests[2]) == ([{"imageDigest": digests[2]}], [])
    assert ecr.list_images(repositoryName=repository)["imageIds"] == []


def test_a_repository_is_deleted_only_empty_or_with_force(ecr, repository) -> None:
    """DeleteRepository refuses a repository with images. With force it deletes the repository and its layers."""
    upload(ecr, repository, b"layer")
    upload(ecr, repository, b"{}")
    ecr.put_image(repositoryName=repository, imageManifest=manifest(b"{}", b"layer"), imageTag="1")
    assert error_code(ecr, "delete_repository", repositoryName=repository) == "RepositoryNotEmptyException"
    ecr.delete_repository(repositoryName=repository, force=True)
    assert error_code(ecr, "initiate_layer_upload", repositoryName=repository) == "RepositoryNotFoundException"


def test_a_fresh_registry_has_the_base_images(ecr) -> None:
    """A fresh registry has an index of two platforms for each Python.

    Every digest and blob that it names is correct.
    """
    for python in base_image.PYTHONS:
        [image] = ecr.batch_get_image(repositoryName=BASE, imageIds=[{"imageTag": f"{python}-slim"}])["images"]
        assert image["imageId"]["imageDigest"] == digest_of(image["imageManifest"].encode())
        entries = json.loads(image["imageManifest"])["manifests"]
        assert [entry["platform"]["architecture"] for entry in entries] == ["amd64", "arm64"]
        pinned = [{"imageDigest": entry["digest"]} for entry in entries]
        for part in ecr.batch_get_image(repositoryName=BASE, imageIds=pinned)["images"]:
            document = json.loads(part["imageManifest"])
            for blob in (document["config"], *document["layers"]):
                url = ecr.get_download_url_for_layer(repositoryName=BASE, layerDigest=blob["digest"])["downloadUrl"]
                with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url) as answer:
                    content = answer.read()
                assert (digest_of(content), len(content)) == (blob["digest"], blob["size"])


def test_the_base_image_is_reproducible() -> None:
    """The image's bytes don't depend on Python or zlib.

    Each Python version and architecture has an image of its own.
    """
    built = {
        (python, architecture): base_image.build_image(digest_of, python, architecture)[0]
        for python in base_image.PYTHONS
        for architecture in ("amd64", "arm64")
    }
    assert digest_of(built["3.11", "amd64"].encode()) == BASE_DIGEST
    assert len(set(built.values())) == len(built)


def test_a_scan_on_push_finds_nothing(ecr, repository) -> None:
    """With scanOnPush the findings exist and are empty. Without a scan there are none to describe."""
    ecr.create_repository(repositoryName=f"{repository}/s", imageScanningConfiguration={"scanOnPush": True})
    for name in (repository, f"{repository}/s"):
        upload(ecr, name, b"layer")
        upload(ecr, name, b"{}")
        ecr.put_image(repositoryName=name, imageManifest=manifest(b"{}", b"layer"), imageTag="1")
    image = {"imageId": {"imageTag": "1"}}
    assert (
        error_code(ecr, "describe_image_scan_findings", repositoryName=repository, **image) == "ScanNotFoundException"
    )
    answer = ecr.describe_image_scan_findings(repositoryName=f"{repository}/s", **image)
    assert answer["imageScanStatus"]["status"] == "COMPLETE"
    assert answer["imageScanFindings"]["findings"] == []
