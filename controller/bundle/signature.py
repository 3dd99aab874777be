"""The signed payload of an image, as `cosign` signs and verifies it.

The signer is chosen elsewhere. Format: https://github.com/sigstore/cosign/blob/main/specs/SIGNATURE_SPEC.md
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterator

from controller.bundle.image import compute_digest
from controller.bundle.referrer import Referrer, make_referrer

ARTIFACT_TYPE = "application/vnd.dev.cosign.artifact.sig.v1+json"
_MEDIA_TYPE = "application/vnd.dev.cosign.simplesigning.v1+json"
_ANNOTATION = "dev.cosignproject.cosign/signature"


def build_payload(repository: str, digest: str) -> bytes:
    """Return the payload to sign for an image of that manifest digest."""
    critical = {
        "identity": {"docker-reference": repository},
        "image": {"docker-manifest-digest": digest},
        "type": "cosign container image signature",
    }
    return json.dumps({"critical": critical, "optional": None}, sort_keys=True, separators=(",", ":")).encode()


def make_signature_referrer(subject: bytes, repository: str, signature: bytes) -> Referrer:
    """Return a referrer with the signature of the image whose manifest is `subject`."""
    content = build_payload(repository, compute_digest(subject))
    text = base64.b64encode(signature).decode()
    return make_referrer(subject, ARTIFACT_TYPE, content, _MEDIA_TYPE, {_ANNOTATION: text})


def iter_signatures(manifest: bytes, repository: str, digest: str) -> Iterator[bytes]:
    """Yield the signatures in a referrer's manifest that are of exactly this image's payload.

    They are not verified: that takes a key.
    """
    wanted = compute_digest(build_payload(repository, digest))
    for layer in json.loads(manifest).get("layers", ()):
        if layer.get("digest") == wanted:
            try:
                yield base64.b64decode(str(layer.get("annotations", {}).get(_ANNOTATION, "")), validate=True)
            except binascii.Error:
                continue
