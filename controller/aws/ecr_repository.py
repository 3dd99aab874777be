"""One ECR repository as a store of blobs and manifests: look up, fetch, push in parts.

The push follows ECR's order: every missing blob, then the manifest.
https://docs.aws.amazon.com/AmazonECR/latest/userguide/image-push.html
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from controller.aws.aws_client import AwsClient
from controller.aws.batch_failures import describe_failures
from controller.aws.calls import AwsCall
from controller.aws.signed_url import fetch_signed_url
from controller.aws.streaming_body import ResponseBody
from controller.errors import ConflictError, FailedError, MissingError, RejectedError, UnavailableError

MANIFEST_TYPES = (
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)
# https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_DescribeImages.html, maxResults
_PAGE_SIZE = 1000
_BATCH_SIZE = 100  # digests in one BatchCheckLayerAvailability or BatchDeleteImage


@dataclass(frozen=True)
class EcrRepository:
    """A repository of the account's registry, or of the registry of another `account`."""

    aws: AwsClient
    name: str
    account: str = ""

    def get_manifest(self, *, tag: str = "", digest: str = "") -> bytes:
        """Return the manifest or index of an image. A pull-through cache fetches it from upstream first.

        Raises MissingError, and FailedError if the bytes don't have the requested digest.
        """
        wanted = {"imageDigest": digest} if digest else {"imageTag": tag}
        types = list(MANIFEST_TYPES)
        answer = self.aws.read(
            "ecr", "batch_get_image", **self._repository_parameters(), imageIds=[wanted], acceptedMediaTypes=types
        )
        if not answer["images"]:
            why = "; ".join(failure.get("failureReason", "") for failure in answer["failures"])
            raise MissingError("no such image", where=f"{self.name}, {digest or tag}", why=why)
        text = str(answer["images"][0]["imageManifest"]).encode()
        if digest and _digest(text) != digest:
            raise FailedError(
                "the registry returned another manifest than the requested one", where=f"{self.name}@{digest}"
            )
        return text

    def digests_by_tag(self) -> dict[str, str]:
        """Return the digest of every tagged image, by tag; empty if the repository doesn't exist."""
        tagged = {"filter": {"tagStatus": "TAGGED"}, "maxResults": _PAGE_SIZE}
        try:
            images = self.aws.list_items(
                "ecr", "describe_images", "imageDetails", **self._repository_parameters(), **tagged
            )
        except MissingError:
            return {}
        return {tag: image["imageDigest"] for image in images for tag in image.get("imageTags", ())}

    def missing_blobs(self, digests: Sequence[str]) -> set[str]:
        """Return the blobs that the repository doesn't have."""
        lacking = set(digests)
        for start in range(0, len(digests), _BATCH_SIZE):
            some = list(digests[start : start + _BATCH_SIZE])
            answer = self.aws.read(
                "ecr", "batch_check_layer_availability", **self._repository_parameters(), layerDigests=some
            )
            lacking -= {layer["layerDigest"] for layer in answer["layers"] if _is_available(layer)}
        return lacking

    def fetch_blob(self, digest: str) -> ResponseBody:
        """Open a blob. The caller must check its bytes against the digest."""
        where = self._repository_parameters()
        answer = self.aws.read("ecr", "get_download_url_for_layer", **where, layerDigest=digest)
        return fetch_signed_url(answer["downloadUrl"], AwsCall("read", "ecr", "get_download_url_for_layer", where))

    def push_blob(self, digest: str, chunks: Iterable[bytes]) -> None:
        """Upload a blob in parts of the size that ECR requests.

        A blob that exists by then is fine: ECR checks the digest.
        """
        opened = self.aws.write("ecr", "initiate_layer_upload", **self._repository_parameters())
        upload = {**self._repository_parameters(), "uploadId": opened["uploadId"]}
        first = 0
        for part in _split_into_parts(chunks, opened["partSize"]):
            last = first + len(part) - 1
            where = {"partFirstByte": first, "partLastByte": last}
            self.aws.write("ecr", "upload_layer_part", **upload, **where, layerPartBlob=part)
            first = last + 1
        try:
            self.aws.write("ecr", "complete_layer_upload", **upload, layerDigests=[digest])
        except ConflictError:  # LayerAlreadyExistsException
            return
        except RejectedError as error:
            if error.code != "InvalidLayerException":
                raise
            raise UnavailableError(
                "the registry received other bytes than were announced",
                where=f"{self.name}, {digest}",
                why=error.why,
                hint="run again: blobs that exist are not sent again",
                code=error.code,
            ) from error

    def put_manifest(self, manifest: bytes, media_type: str, tag: str) -> None:
        """Add an image whose blobs exist, and read it back; an empty tag leaves it untagged.

        Raises FailedError if the repository then holds something else.
        """
        digest = _digest(manifest)
        image = {"imageManifest": manifest.decode(), "imageManifestMediaType": media_type, "imageDigest": digest}
        # A conflict: the image exists, or the tag belongs to another image. Reading it back shows which.
        with contextlib.suppress(ConflictError):
            self.aws.write(
                "ecr", "put_image", **self._repository_parameters(), **image, **({"imageTag": tag} if tag else {})
            )
        if self.get_manifest(**({"tag": tag} if tag else {"digest": digest})) != manifest:
            raise FailedError(
                "the registry holds another image under this tag",
                where=f"{self.name}:{tag}",
                why="tags here are immutable, and this one was pushed by others",
                hint="delete that image",
            )

    def iter_referrers(self, digest: str, artifact_type: str) -> Iterator[bytes]:
        """Yield the manifests of one type whose subject is an image."""
        for found in self._iter_referrer_digests(digest, filter={"artifactTypes": [artifact_type]}):
            yield self.get_manifest(digest=found)

    def delete_image(self, tag: str) -> str:
        """Remove an image's tag, and with its last tag the image and its referrers; fine if it doesn't exist.

        Returns what ECR left, and why; empty if everything is deleted.

        One call does it, so that no image remains without its referrers. ECR itself removes layers that no other image
        has. https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_BatchDeleteImage.html
        """
        with contextlib.suppress(MissingError):
            tagged = {"imageTag": tag}
            [found] = self.aws.read("ecr", "describe_images", **self._repository_parameters(), imageIds=[tagged])[
                "imageDetails"
            ]
            last = found.get("imageTags") == [tag]
            beside = [{"imageDigest": one} for one in self._iter_referrer_digests(found["imageDigest"])] if last else []
            images = [*beside[: _BATCH_SIZE - 1], tagged]
            return describe_failures(
                self.aws.write("ecr", "batch_delete_image", **self._repository_parameters(), imageIds=images)
            )
        return ""

    def _iter_referrer_digests(self, digest: str, **narrowed: Any) -> Iterator[str]:
        wanted = {"subjectId": {"imageDigest": digest}, **narrowed}
        for found in self.aws.iter_items(
            "ecr", "list_image_referrers", "referrers", **self._repository_parameters(), **wanted
        ):
            yield found["digest"]

    def _repository_parameters(self) -> dict[str, Any]:
        return {"repositoryName": self.name, **({"registryId": self.account} if self.account else {})}


def _is_available(layer: dict[str, Any]) -> bool:
    return bool(layer.get("layerAvailability") == "AVAILABLE")


def _digest(content: bytes) -> str:
    return f"sha256:{sha256(content).hexdigest()}"


def _split_into_parts(chunks: Iterable[bytes], size: int) -> Iterator[bytes]:
    """Yield the same bytes in parts of exactly `size`, except for the last."""
    kept = bytearray()
    for piece in chunks:
        kept += piece
        while len(kept) >= size:
            yield bytes(kept[:size])
            del kept[:size]
    if kept:
        yield bytes(kept)
