"""Artifacts that refer to an image in the registry: a bill of materials, a signature.

Format: OCI image specification 1.1, manifest.md, "Guidelines for Artifact Usage".
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from controller.bundle.image import MANIFEST_TYPE, compute_digest

_EMPTY_CONFIG = b"{}"
_EMPTY_CONFIG_TYPE = "application/vnd.oci.empty.v1+json"


@dataclass(frozen=True)
class Referrer:
    """A manifest whose subject is an image, and the blobs that it names, by digest."""

    manifest: bytes
    blobs: Mapping[str, bytes]


def make_referrer(
    subject: bytes, artifact_type: str, content: bytes, media_type: str, annotations: Mapping[str, str] | None = None
) -> Referrer:
    """Make a referrer with one blob to the image whose manifest is `subject`.

    `annotations` are the blob's. Equal arguments give equal bytes.
    """
    blob = _make_descriptor(content, media_type)
    document = {
        "schemaVersion": 2,
        "mediaType": MANIFEST_TYPE,
        "artifactType": artifact_type,
        "config": _make_descriptor(_EMPTY_CONFIG, _EMPTY_CONFIG_TYPE),
        "layers": [{**blob, "annotations": dict(annotations)} if annotations else blob],
        "subject": _make_descriptor(subject, MANIFEST_TYPE),
    }
    manifest = json.dumps(document, sort_keys=True, separators=(",", ":")).encode()
    return Referrer(manifest, {compute_digest(one): one for one in (_EMPTY_CONFIG, content)})


def _make_descriptor(content: bytes, media_type: str) -> dict[str, object]:
    return {"mediaType": media_type, "digest": compute_digest(content), "size": len(content)}
