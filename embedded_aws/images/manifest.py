"""Parse and check image manifests. This module knows the formats of OCI and Docker, and nothing of repositories.

Formats: OCI image specification 1.1 (manifest.md, image-index.md, descriptor.md); Docker image manifest v2, schema 2.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_INDEX = "application/vnd.docker.distribution.manifest.list.v2+json"
_INDEXES = {OCI_INDEX, DOCKER_INDEX}
_KNOWN = {OCI_MANIFEST, DOCKER_MANIFEST} | _INDEXES
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


class ManifestError(ValueError):
    """A manifest that a registry would refuse. The message says why."""


@dataclass(frozen=True)
class Descriptor:
    """A pointer to content. `size` is in bytes."""

    digest: str
    size: int
    media_type: str = ""
    annotations: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class ImageManifest:
    """One image (`config` and `layers`), or an index of images (`images`). `subject` is the image of an artifact."""

    media_type: str
    config: Descriptor | None = None
    layers: tuple[Descriptor, ...] = ()
    images: tuple[Descriptor, ...] = ()
    subject: Descriptor | None = None
    artifact_type: str = ""

    @property
    def blobs(self) -> tuple[Descriptor, ...]:
        """The blobs that must exist before the manifest can be put."""
        return (*self.layers, self.config) if self.config else self.layers

    @property
    def size(self) -> int:
        """DescribeImages' imageSizeInBytes: the compressed layers and the config."""
        return sum(blob.size for blob in self.blobs)


def parse_manifest(text: str, media_type: str | None = None) -> ImageManifest:
    """Parse a manifest. `media_type` is the caller's, and must agree with the manifest's own.

    Raises ManifestError.
    """
    try:
        document = json.loads(text)
    except json.JSONDecodeError as error:
        raise ManifestError("Invalid JSON syntax") from error
    if not isinstance(document, dict) or document.get("schemaVersion") != 2:
        raise ManifestError("schemaVersion must be 2")
    own_type = document.get("mediaType")
    kind = media_type or own_type
    if own_type and kind != own_type:
        raise ManifestError(f"the media type is given as {kind!r}, and the manifest says {own_type!r}")
    if kind not in _KNOWN:
        raise ManifestError(f"the media type {kind!r} is not supported")
    if kind in _INDEXES:
        return ImageManifest(kind, images=_parse_descriptors(document, "manifests"))
    config, layers = _parse_descriptor(document.get("config"), "config"), _parse_descriptors(document, "layers")
    subject = _parse_descriptor(document["subject"], "subject") if "subject" in document else None
    return ImageManifest(
        kind, config, layers, subject=subject, artifact_type=str(document.get("artifactType", config.media_type))
    )


def _parse_descriptors(document: Mapping[str, Any], field_name: str) -> tuple[Descriptor, ...]:
    entries = document.get(field_name)
    if not isinstance(entries, list) or not entries:
        raise ManifestError(f"{field_name} must be a list with at least one entry")
    return tuple(_parse_descriptor(entry, f"{field_name}[{index}]") for index, entry in enumerate(entries))


def _parse_descriptor(entry: Any, where: str) -> Descriptor:
    if not isinstance(entry, dict):
        raise ManifestError(f"{where} must be a descriptor")
    digest, size = entry.get("digest"), entry.get("size")
    if not isinstance(digest, str) or not _DIGEST.fullmatch(digest):
        raise ManifestError(f"{where}.digest must be sha256: and 64 hexadecimal digits")
    if type(size) is not int or size < 0:
        raise ManifestError(f"{where}.size must be a number of bytes")
    return Descriptor(digest, size, str(entry.get("mediaType", "")), dict(entry.get("annotations") or {}))
