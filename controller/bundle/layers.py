"""Pack image layers that depend only on their content: equal files give equal bytes on any day and under any umask.

Entries are sorted, dated 1970 and owned by root; directories have no entries. A layer's identity across machines is
`diff_id`, the digest of the plain tar; the compressed bytes can differ between builds of zlib.
"""

from __future__ import annotations

import contextlib
import gzip
import io
import tarfile
import zlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import IO, Literal, cast
from uuid import uuid4

from controller.bundle import runtime_files
from controller.bundle.build import Bundle
from controller.bundle.package_file import PackageFile
from controller.bundle.tar_reader import ByteReader, TarError, read_first_member
from controller.errors import BundleError
from inference_server.manifest import MANIFEST_FILE, Manifest, ManifestError, loads

MEDIA_TYPE = "application/vnd.oci.image.layer.v1.tar+gzip"
LIBRARY_DIRECTORY = "opt/moorage/lib"
MODEL_DIRECTORY = "opt/model"
# Increase this number with every change to how layers are packed.
LAYER_FORMAT = 1
# Level 9 makes 43 MB of dependencies 0.6 % smaller than 6 and takes five times as long.
_COMPRESSION_LEVEL = 6
_MAX_MANIFEST_BYTES = 64 * 2**20

LayerRole = Literal["model", "server", "dependencies"]


@dataclass(frozen=True)
class Layer:
    """One layer, ready to push.

    `digest` and `size` (bytes) are of the compressed `content`, `diff_id` of the plain tar.
    """

    role: LayerRole
    diff_id: str
    digest: str
    size: int
    content: bytes = field(repr=False)


def pack_model_layer(bundle: Bundle) -> Layer:
    """Pack a bundle's two files, and nothing else."""
    return _pack_layer("model", [(f"{MODEL_DIRECTORY}/{name}", content) for name, content in bundle.files().items()])


def read_manifest(layer: ByteReader) -> Manifest:
    """Read the manifest in a model layer as the registry returns it; the model after it isn't read.

    Raises BundleError if this isn't a model layer.
    """
    try:
        with gzip.GzipFile(fileobj=cast("IO[bytes]", layer), mode="rb") as plain:
            text = read_first_member(plain, f"{MODEL_DIRECTORY}/{MANIFEST_FILE}", _MAX_MANIFEST_BYTES)
        return loads(text)
    except (TarError, ManifestError, EOFError, OSError, zlib.error) as error:
        raise BundleError("the image's model layer can't be read", why=str(error)) from error


def pack_server_layers(cache_directory: Path, architecture: str) -> tuple[Layer, Layer]:
    """Return the dependencies' and the server's layer for Linux on an architecture, in this order.

    The dependencies take seconds to pack, so they are cached in `cache_directory`, named by their inputs and content.
    Raises BundleError if the packages aren't available, or if there is no room for them.
    """
    inputs = sha256(f"{LAYER_FORMAT} {runtime_files.locked_digest(architecture)}".encode()).hexdigest()
    dependencies = _load_cached(cache_directory, inputs)
    if dependencies is None:
        with runtime_files.open_dependencies(architecture) as files:
            dependencies = _pack_layer("dependencies", _tar_entries(files))
        _store_cached(cache_directory, inputs, dependencies)
    return dependencies, _pack_layer("server", _tar_entries(runtime_files.server_files()))


def digest_server_layers() -> str:
    """Return the SHA-256 (hex) of what `pack_server_layers` packs for any architecture, without packing it."""
    packages = [runtime_files.locked_digest(architecture) for architecture in runtime_files.ARCHITECTURES]
    return sha256(
        f"{LAYER_FORMAT} {packages} {runtime_files.digest_files(runtime_files.server_files())}".encode()
    ).hexdigest()


def _tar_entries(files: Iterable[PackageFile]) -> list[tuple[str, bytes]]:
    return [(f"{LIBRARY_DIRECTORY}/{file.path}", file.read()) for file in files]


def _pack_layer(role: LayerRole, entries: Iterable[tuple[str, bytes]]) -> Layer:
    tar = io.BytesIO()
    with tarfile.open(fileobj=tar, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, content in sorted(entries):
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(content), 0o644
            archive.addfile(member, io.BytesIO(content))
    return _make_layer(role, tar.getvalue(), _compress(tar.getvalue()))


def _compress(tar: bytes) -> bytes:
    packed = io.BytesIO()
    with gzip.GzipFile(filename="", fileobj=packed, mode="wb", compresslevel=_COMPRESSION_LEVEL, mtime=0) as file:
        file.write(tar)
    return packed.getvalue()


def _make_layer(role: LayerRole, tar: bytes, packed: bytes) -> Layer:
    return Layer(role, f"sha256:{sha256(tar).hexdigest()}", f"sha256:{sha256(packed).hexdigest()}", len(packed), packed)


def _load_cached(cache: Path, inputs: str) -> Layer | None:
    """Read a cached layer; one that doesn't match its name counts as missing."""
    for path in cache.glob(_cache_file_name(inputs, "*", "*")):
        try:
            packed = path.read_bytes()
        except OSError:
            continue
        diff_id, digest = path.name.split("-")[-2:]
        # The name has both digests, so that the layer needn't be decompressed to be verified.
        if sha256(packed).hexdigest() == digest:
            return Layer("dependencies", f"sha256:{diff_id}", f"sha256:{digest}", len(packed), packed)
    return None


def _store_cached(cache: Path, inputs: str, layer: Layer) -> None:
    """Cache a layer. If another process does so at the same time, either file is correct."""
    unfinished = cache / f".{uuid4().hex}"
    try:
        cache.mkdir(parents=True, exist_ok=True)
        unfinished.write_bytes(layer.content)
        unfinished.replace(cache / _cache_file_name(inputs, layer.diff_id, layer.digest))
    except OSError as error:
        with contextlib.suppress(OSError):
            unfinished.unlink(missing_ok=True)
        raise BundleError(
            "the packed dependencies can't be kept",
            where=str(cache),
            why=error.strerror or str(error),
            hint="make room, or choose another state directory with MOORAGE_HOME",
        ) from error


def _cache_file_name(inputs: str, diff_id: str, digest: str) -> str:
    return "-".join(["dependencies", inputs[:32], *(part.removeprefix("sha256:") for part in (diff_id, digest))])
