"""Image pull: from an image reference to its manifest by digest, its config, and the model layer's two files.

Nothing is ever extracted. Members are streamed one by one into the task's directory, and any member that a model layer
doesn't have is refused. The other layers aren't used: a task runs on this machine's Python.
"""

from __future__ import annotations

import gzip
import json
import re
import tarfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import IO, Any

from moto.ecr.models import ecr_backends

from embedded_aws.emulator import Emulator
from embedded_aws.images.blobs import DIRECTORY, BlobDirectory
from embedded_aws.images.manifest import Descriptor, ImageManifest, parse_manifest

_REFERENCE = re.compile(
    r"(?P<account>\d{12})\.dkr\.ecr\.(?P<region>[a-z0-9-]+)\.amazonaws\.com/"
    r"(?P<repository>[a-z0-9][a-z0-9._/-]*?)(:(?P<tag>[\w][\w.-]{0,127}))?(@(?P<digest>sha256:[0-9a-f]{64}))?"
)
MODEL_LAYER = ("dev.moorage.layer", "model")
# The size limit of each file, in bytes.
_MAX_MEMBER_BYTES = {"opt/model/model.ubj": 2 << 30, "opt/model/manifest.json": 4 << 20}
_CHUNK = 1 << 20


class PullError(Exception):
    """An image that can't be pulled. The message is the reason that ECS would give."""


@dataclass(frozen=True)
class PulledImage:
    """A pulled image: the manifest with its digest, and the `config` object of the image config."""

    digest: str
    config: Mapping[str, Any]
    manifest: ImageManifest


def pull_image(emulator: Emulator, reference: str, architecture: str, directory: Path) -> PulledImage:
    """Pull an image from the embedded ECR, and write the model layer's files below `directory`.

    `architecture` is the task's, in OCI's spelling. Holds the emulator's lock for the look-up only. Raises PullError.
    """
    image = resolve_image(emulator, reference, architecture)
    models = [layer for layer in image.manifest.layers if layer.annotations.get(MODEL_LAYER[0]) == MODEL_LAYER[1]]
    if len(models) > 1:
        raise PullError(f"{reference}: {len(models)} layers are annotated as the model layer")
    for layer in models:
        write_model_files(BlobDirectory(emulator.home / DIRECTORY).blob_path(layer.digest), layer, directory)
    return image


def resolve_image(emulator: Emulator, reference: str, architecture: str) -> PulledImage:
    """Find an image and read its config. Reads no layer. Raises PullError."""
    with emulator.lock:
        digest, manifest = _resolve_manifest(reference)
    if manifest.config is None:
        raise PullError(f"{reference}: the manifest is an index, and has no image for this platform")
    config = json.loads(_read_blob(BlobDirectory(emulator.home / DIRECTORY), manifest.config))
    if config.get("architecture", architecture) != architecture:
        raise PullError(f"image Manifest does not contain descriptor matching platform 'linux/{architecture}'")
    return PulledImage(digest, config.get("config") or {}, manifest)


def write_model_files(blob: Path, layer: Descriptor, directory: Path) -> None:
    """Write a model layer's two files below `directory`.

    Raises PullError when the layer has any other member, or doesn't match its descriptor.
    """
    seen: set[str] = set()
    with blob.open("rb") as raw:
        hashed = _HashingReader(raw)
        try:
            with gzip.GzipFile(fileobj=hashed) as content, tarfile.open(fileobj=content, mode="r|") as archive:  # type: ignore[call-overload]
                for member in archive:
                    _write_member(archive, member, directory, seen)
        except (tarfile.TarError, EOFError, OSError, zlib.error) as error:
            raise PullError(f"failed to register layer {layer.digest}: {error}") from error
        if hashed.finish() != (layer.digest, layer.size):
            raise PullError(f"failed to register layer {layer.digest}: unexpected digest or size")
    if missing := set(_MAX_MEMBER_BYTES) - seen:
        raise PullError(f"failed to register layer {layer.digest}: a model layer holds {', '.join(sorted(missing))}")


def _write_member(archive: tarfile.TarFile, member: tarfile.TarInfo, directory: Path, seen: set[str]) -> None:
    if member.name not in _MAX_MEMBER_BYTES or member.name in seen or not member.isreg():
        raise PullError(f"failed to register layer: {member.name!r} has no place in a model layer")
    if member.size > _MAX_MEMBER_BYTES[member.name]:
        raise PullError(f"failed to register layer: {member.name!r} has {member.size} bytes")
    seen.add(member.name)
    source, target = archive.extractfile(member), directory / member.name
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.open("xb") as file:
        # The archive's reader ends at the member's size, which was checked above.
        while source and (chunk := source.read(_CHUNK)):
            file.write(chunk)


def _resolve_manifest(reference: str) -> tuple[str, ImageManifest]:
    """Find the image in ECR, by digest when the reference has one. The manifest's own digest is verified again."""
    missing = PullError(f"failed to resolve ref {reference}: {reference}: not found")
    parts = _REFERENCE.fullmatch(reference)
    if parts is None:
        raise PullError(f"failed to resolve ref {reference}: no such host: the embedded AWS has only its own ECR")
    repository = ecr_backends[parts["account"]][parts["region"]].repositories.get(parts["repository"])
    tag = parts["tag"] or ("latest" if parts["digest"] is None else None)
    for image in repository.images if repository else ():
        if image.image_digest == parts["digest"] or (parts["digest"] is None and tag in image.image_tags):
            text = image.image_manifest
            digest = f"sha256:{sha256(text.encode()).hexdigest()}"
            if digest != image.image_digest:
                break
            return digest, parse_manifest(text, image.image_manifest_media_type)
    raise missing


def _read_blob(blobs: BlobDirectory, blob: Descriptor) -> bytes:
    content = blobs.blob_path(blob.digest).read_bytes()
    if (f"sha256:{sha256(content).hexdigest()}", len(content)) != (blob.digest, blob.size):
        raise PullError(f"blob {blob.digest}: unexpected digest or size")
    return content


class _HashingReader:
    """A file reader that hashes what it reads."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file, self._sha256, self._size = file, sha256(), 0

    def read(self, size: int = -1) -> bytes:
        """Read and hash."""
        chunk = self._file.read(size)
        self._sha256.update(chunk)
        self._size += len(chunk)
        return chunk

    def finish(self) -> tuple[str, int]:
        """Read the rest; return digest and size of the whole."""
        while self.read(_CHUNK):
            pass
        return f"sha256:{self._sha256.hexdigest()}", self._size
