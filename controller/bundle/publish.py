"""Publishing an image: what a repository lacks is uploaded, then the manifest. Which protocol is spoken, others know.

A repository is `controller.aws.Repository` (ECR's own API) or `controller.bundle.oci.OciRepository` (any registry).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from hashlib import sha256
from typing import Protocol

from controller.bundle.image import MANIFEST_TYPE, Image
from controller.bundle.referrer import Referrer
from controller.errors import BundleError


class Stream(Protocol):
    """A blob that arrives in pieces."""

    def chunks(self, size: int = ...) -> Iterator[bytes]:
        """Give the bytes, in pieces of at most `size`."""


class Repository(Protocol):
    """A place of blobs and manifests."""

    def missing(self, digests: Sequence[str]) -> set[str]:
        """Those of the blobs that are not there."""

    def fetch(self, digest: str) -> AbstractContextManager[Stream]:
        """Open a blob."""

    def push(self, digest: str, pieces: Iterable[bytes]) -> None:
        """Upload a blob."""

    def put(self, manifest: bytes, media_type: str, tag: str) -> None:
        """Add a manifest whose blobs are there, without a name if `tag` is empty, and read it back."""


def publish(image: Image, target: Repository, source: Repository, tag: str, referrers: Sequence[Referrer] = ()) -> int:
    """Push what `target` lacks of an image, taking the base's layers from `source`; return how many blobs were sent.

    The tag comes last: what has it is whole, with all that points at it. Can be repeated after a crash anywhere: what is
    there is not sent again. Raises BundleError if a layer of the base isn't what its digest says, and whatever the
    repositories raise.
    """
    ours = {layer.digest: layer.content for layer in image.layers} | {image.config_digest: image.config}
    for referrer in referrers:
        ours |= referrer.blobs
    lacking = sorted(target.missing([*dict.fromkeys([*image.base_layers, *ours])]))
    for digest in lacking:
        if digest in ours:
            target.push(digest, [ours[digest]])
        else:
            copy(digest, source, target)
    if referrers:
        target.put(image.manifest, MANIFEST_TYPE, "")
    for referrer in referrers:
        target.put(referrer.manifest, MANIFEST_TYPE, "")
    target.put(image.manifest, MANIFEST_TYPE, tag)
    return len(lacking)


def copy(digest: str, source: Repository, target: Repository) -> None:
    """Carry a blob over, and hold it against its digest on the way: not every registry that takes it does."""
    with source.fetch(digest) as body:
        target.push(digest, _checked(digest, body.chunks))


def _checked(digest: str, chunks: Callable[[], Iterable[bytes]]) -> Iterator[bytes]:
    found = sha256()
    for piece in chunks():
        found.update(piece)
        yield piece
    if f"sha256:{found.hexdigest()}" != digest:
        raise BundleError(
            "the base image's registry gave other bytes than its manifest names",
            where=digest,
            why=f"they are sha256:{found.hexdigest()}",
            hint="try again; if it stays so, choose another image.base",
        )
