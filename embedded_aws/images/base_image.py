"""The synthetic base image of a fresh embedded ECR, where a pull-through cache of ECR Public would put it.

It has the shape of `python:3.N-slim` and almost no content, because tasks run on this machine's own Python. There is
one image for each Python that Moorage supports. Every byte is fixed here, so a digest is the same on all machines of an
architecture.
"""

from __future__ import annotations

import io
import json
import struct
import tarfile
import zlib
from collections.abc import Callable
from hashlib import sha256

from embedded_aws.images.manifest import OCI_INDEX, OCI_MANIFEST

REPOSITORY = "ecr-public/docker/library/python"
PYTHONS = ("3.11", "3.12", "3.13", "3.14")
ARCHITECTURES = ("amd64", "arm64")
_FILE = "etc/moorage-base-image"
_TEXT = b"A stand-in for docker.io/library/python. The embedded AWS runs tasks on the host's Python.\n"


def build_tag(python: str) -> str:
    """Return the tag of the image for a Python version, `3.11` or later."""
    return f"{python}-slim"


def build_image(put: Callable[[bytes], str], python: str, architecture: str) -> tuple[str, dict[str, int]]:
    """Store layer and config through `put` (content → digest); return the manifest and the size of each blob.

    `architecture` is in OCI's spelling: amd64, arm64.
    """
    archive = _tar()
    layer = _gzip(archive)
    config = _json(
        {
            "architecture": architecture,
            "os": "linux",
            "config": {"Env": ["PATH=/usr/local/bin:/usr/bin:/bin", f"PYTHON_VERSION={python}"], "Cmd": ["python3"]},
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{sha256(archive).hexdigest()}"]},
            "history": [{"created": "1970-01-01T00:00:00Z", "created_by": "moorage embedded AWS"}],
            "created": "1970-01-01T00:00:00Z",
        }
    )
    digests = {put(layer): len(layer), put(config): len(config)}
    layer_digest, config_digest = digests
    manifest = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": _descriptor("application/vnd.oci.image.config.v1+json", config_digest, len(config)),
        "layers": [_descriptor("application/vnd.oci.image.layer.v1.tar+gzip", layer_digest, len(layer))],
    }
    return _json(manifest).decode(), digests


def build_index(manifests: dict[str, str]) -> str:
    """Return the index of a Python version's images. `manifests` is architecture → manifest."""
    entries = [
        {**_descriptor(OCI_MANIFEST, f"sha256:{sha256(text.encode()).hexdigest()}", len(text)), "platform": platform}
        for architecture, text in sorted(manifests.items())
        for platform in [{"os": "linux", "architecture": architecture}]
    ]
    return _json({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries}).decode()


def _descriptor(media_type: str, digest: str, size: int) -> dict[str, object]:
    return {"mediaType": media_type, "digest": digest, "size": size}


def _json(document: object) -> bytes:
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()


def _tar() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        member = tarfile.TarInfo(_FILE)
        member.size = len(_TEXT)
        archive.addfile(member, io.BytesIO(_TEXT))
    return buffer.getvalue()


def _gzip(content: bytes) -> bytes:
    """Wrap `content` in gzip without compression. Stored blocks and a fixed header don't depend on zlib or Python."""
    packer = zlib.compressobj(0, zlib.DEFLATED, -zlib.MAX_WBITS)
    body = packer.compress(content) + packer.flush()
    return b"\x1f\x8b\x08\x00\0\0\0\0\x00\xff" + body + struct.pack("<II", zlib.crc32(content), len(content))
