"""What is told about an image and kept beside it in the registry, pointing at it: a bill of materials, a signature.

Format: OCI image specification 1.1, manifest.md, "Guidelines for Artifact Usage".
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from controller.bundle.image import MANIFEST_TYPE, digest_of

_NOTHING = b"{}"
_NOTHING_TYPE = "application/vnd.oci.empty.v1+json"


@dataclass(frozen=True)
class Referrer:
    """A manifest whose subject is an image, and the blobs that it names, by digest."""

    manifest: bytes
    blobs: Mapping[str, bytes]


def refer(
    subject: bytes, artifact_type: str, content: bytes, media_type: str, annotations: Mapping[str, str] | None = None
) -> Referrer:
    """Point at the image whose manifest is `subject` with one blob. `annotations` are the blob's. Equal arguments, equal bytes."""
    blob = _descriptor(content, media_type)
    document = {
        "schemaVersion": 2,
        "mediaType": MANIFEST_TYPE,
        "artifactType": artifact_type,
        "config": _descriptor(_NOTHING, _NOTHING_TYPE),
        "layers": [{**blob, "annotations": dict(annotations)} if annotations else blob],
        "subject": _descriptor(subject, MANIFEST_TYPE),
    }
    manifest = json.dumps(document, sort_keys=True, separators=(",", ":")).encode()
    return Referrer(manifest, {digest_of(one): one for one in (_NOTHING, content)})


def _descriptor(content: bytes, media_type: str) -> dict[str, object]:
    return {"mediaType": media_type, "digest": digest_of(content), "size": len(content)}
