"""Publish an image: upload the blobs that a repository lacks, then the manifest, over any protocol.

A repository is `controller.aws.EcrRepository` (ECR's own API) or `controller.bundle.oci_repository.OciRepository` (any
registry).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from hashlib import sha256
from typing import Protocol

from controller.bundle.image import MANIFEST_TYPE, AssembledImage
from controller.bundle.referrer import Referrer
from controller.errors import BundleError


class BlobStream(Protocol):
    """A blob that arrives in pieces."""

    def chunks(self, size: int = ...) -> Iterator[bytes]:
        """Yield the bytes, in pieces of at most `size`."""


class ContainerRepository(Protocol):
    """A store of blobs and manifests."""

    def missing_blobs(self, digests: Sequence[str]) -> set[str]:
        """Return the blobs that the repository doesn't have."""

    def fetch_blob(self, digest: str) -> AbstractContextManager[BlobStream]:
        """Open a blob."""

    def push_blob(self, digest: str, chunks: Iterable[bytes]) -> None:
        """Upload a blob."""

    def put_manifest(self, manifest: bytes, media_type: str, tag: str) -> None:
        """Add a manifest whose blobs exist, without a tag if `tag` is empty, and read it back."""


def publish_image(
    image: AssembledImage,
    target: ContainerRepository,
    source: ContainerRepository,
    tag: str,
    referrers: Sequence[Referrer] = (),
) -> int:
    """Push what `target` lacks of an image, with the base's layers from `source`; return the number of blobs sent.

    The tag comes last: a tagged image is complete, with all its referrers. The push can be repeated after a crash at
    any point: blobs that exist aren't sent again. Raises BundleError if a layer of the base doesn't have its digest,
    and the errors of the repositories.
    """
    ours = {layer.digest: layer.content for layer in image.layers} | {image.config_digest: image.config}
    for referrer in referrers:
        ours |= referrer.blobs
    lacking = sorted(target.missing_blobs([*dict.fromkeys([*image.base_layers, *ours])]))
    for digest in lacking:
        if digest in ours:
            target.push_blob(digest, [ours[digest]])
        else:
            copy_blob(digest, source, target)
    if referrers:
        target.put_manifest(image.manifest, MANIFEST_TYPE, "")
    for referrer in referrers:
        target.put_manifest(referrer.manifest, MANIFEST_TYPE, "")
    target.put_manifest(image.manifest, MANIFEST_TYPE, tag)
    return len(lacking)


def copy_blob(digest: str, source: ContainerRepository, target: ContainerRepository) -> None:
    """Copy a blob, and check it against its digest on the way: not every target registry does."""
    with source.fetch_blob(digest) as body:
        target.push_blob(digest, _verify_chunks(digest, body.chunks))


def _verify_chunks(digest: str, chunks: Callable[[], Iterable[bytes]]) -> Iterator[bytes]:
    found = sha256()
    for piece in chunks():
        found.update(piece)
        yield piece
    if f"sha256:{found.hexdigest()}" != digest:
        raise BundleError(
            "the base image's registry returned other bytes than its manifest names",
            where=digest,
            why=f"they are sha256:{found.hexdigest()}",
            hint="try again; if it stays so, choose another image.base",
        )
