"""Assemble an OCI image of our layers on a base image: its config, its manifest, its digest. No layer is read here.

Formats: the OCI image specification, https://github.com/opencontainers/image-spec (config.md, manifest.md).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from controller.bundle.layers import LIBRARY_DIRECTORY, MEDIA_TYPE, MODEL_DIRECTORY, Layer
from controller.bundle.runtime_files import Runtime
from controller.errors import BundleError

MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
CONFIG_TYPE = "application/vnd.oci.image.config.v1+json"
LAYER_ROLE_ANNOTATION = "dev.moorage.layer"
SERVER_VERSION_LABEL = "dev.moorage.server"
SERVER_PORT = 8080
# The user of distroless images: no base image has files that belong to it.
SERVER_USER = "65532:65532"

# Docker's media types for layers of the same bytes.
_LAYER_TYPES = {
    "application/vnd.docker.image.rootfs.diff.tar.gzip": MEDIA_TYPE,
    MEDIA_TYPE: MEDIA_TYPE,
    "application/vnd.oci.image.layer.v1.tar": "application/vnd.oci.image.layer.v1.tar",
    "application/vnd.oci.image.layer.v1.tar+zstd": "application/vnd.oci.image.layer.v1.tar+zstd",
}
# The time of an image is fixed, so that its digest doesn't depend on it.
_CREATED = "1970-01-01T00:00:00Z"


@dataclass(frozen=True)
class AssembledImage:
    """What to push: `layers` (those of the base must exist already), then `config`, then `manifest`."""

    manifest: bytes
    config: bytes
    layers: tuple[Layer, ...]
    base_layers: tuple[str, ...]

    @property
    def digest(self) -> str:
        """The digest that pins the image, `sha256:` and 64 hex digits."""
        return compute_digest(self.manifest)

    @property
    def config_digest(self) -> str:
        """The digest of the config blob."""
        return compute_digest(self.config)


def compute_digest(content: bytes) -> str:
    """Return the digest of a blob or a manifest: `sha256:` and 64 hex digits."""
    return f"sha256:{sha256(content).hexdigest()}"


def get_config_digest(base_manifest: bytes) -> str:
    """Return the digest of the config that a base image's manifest names.

    Raises BundleError if it is no image manifest.
    """
    digest: str = _parse_base_manifest(base_manifest)["config"]["digest"]
    return digest


def list_blob_digests(manifest: bytes) -> list[str]:
    """Return the digests of an image's config and layers, each once. Raises BundleError if it is no image manifest."""
    document = _parse_base_manifest(manifest)
    return list(dict.fromkeys(blob["digest"] for blob in (document["config"], *document["layers"])))


def is_index(manifest: bytes) -> bool:
    """Return whether a manifest is an index of several platforms' images."""
    return "manifests" in _parse_json(manifest, "manifest")


def find_model_layer(manifest: bytes) -> str | None:
    """Return the digest of the layer with the model; None for an image without one."""
    layers = _parse_json(manifest, "manifest").get("layers", ())
    marked = (layer["digest"] for layer in layers if layer.get("annotations", {}).get(LAYER_ROLE_ANNOTATION) == "model")
    return next(marked, None)


def select_platform(index: bytes, architecture: str) -> str:
    """Return the digest of the manifest for Linux on `architecture` (amd64, arm64) in an image index."""
    document = _parse_json(index, "index")
    for entry in document.get("manifests", ()):
        platform = entry.get("platform", {})
        if platform.get("os") == "linux" and platform.get("architecture") == architecture:
            digest: str = entry["digest"]
            return digest
    raise BundleError(f"the base image isn't made for linux/{architecture}", hint="choose another image.base")


def get_server_version(base_config: bytes) -> str:
    """Return the version of the inference server in a base image (the Dockerfile's has one), or an empty string."""
    labels = (_parse_json(base_config, "config").get("config") or {}).get("Labels") or {}
    return str(labels.get(SERVER_VERSION_LABEL, ""))


def assemble_image(
    base_manifest: bytes,
    base_config: bytes,
    layers: Sequence[Layer],
    *,
    runtime: Runtime,
    server_version: str,
    annotations: Mapping[str, str] | None = None,
) -> AssembledImage:
    """Put layers onto a base image, with `annotations` on its manifest. Equal arguments give equal bytes.

    `runtime` is what the layers were built for. Raises BundleError if the base has another architecture, if it has
    another Python and the layers contain packages, or if its config isn't the one that its manifest names.
    """
    base = _parse_base_manifest(base_manifest)
    if base["config"]["digest"] != compute_digest(base_config):
        raise BundleError("the base image's config is not the one that its manifest names", hint="fetch it again")
    config = _parse_json(base_config, "config")
    _check_platform(config, runtime)
    if any(layer.role == "dependencies" for layer in layers):
        _check_python(config, runtime)
    below = [_convert_base_layer(descriptor) for descriptor in base["layers"]]
    if len(config.get("rootfs", {}).get("diff_ids", ())) != len(below):
        raise BundleError(
            "the base image's config and manifest count different layers", hint="choose another image.base"
        )
    packed = _to_json(_make_config(config, layers, server_version))
    above = [_make_descriptor(MEDIA_TYPE, layer.digest, layer.size, layer.role) for layer in layers]
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST_TYPE,
        "config": _make_descriptor(CONFIG_TYPE, compute_digest(packed), len(packed)),
        "layers": [*below, *above],
        **({"annotations": dict(annotations)} if annotations else {}),
    }
    return AssembledImage(
        _to_json(manifest), packed, tuple(layers), tuple(descriptor["digest"] for descriptor in below)
    )


def _make_config(base: Mapping[str, Any], layers: Sequence[Layer], server_version: str) -> dict[str, Any]:
    inherited = base.get("config") or {}
    history = [{"created": _CREATED, "created_by": f"moorage: {layer.role}"} for layer in layers]
    return {
        "architecture": base["architecture"],
        "os": base["os"],
        "created": _CREATED,
        "config": {
            "Env": _merge_environment(inherited.get("Env") or ()),
            "Entrypoint": ["python", "-m", "inference_server"],
            "Cmd": ["--model-dir", f"/{MODEL_DIRECTORY}", "--host", "0.0.0.0", "--port", str(SERVER_PORT)],  # noqa: S104
            "User": SERVER_USER,
            "WorkingDir": "/",
            "ExposedPorts": {f"{SERVER_PORT}/tcp": {}},
            "StopSignal": "SIGTERM",
            "Labels": {**(inherited.get("Labels") or {}), SERVER_VERSION_LABEL: server_version},
        },
        "rootfs": {"type": "layers", "diff_ids": [*base["rootfs"]["diff_ids"], *(layer.diff_id for layer in layers)]},
        **({"history": [*base["history"], *history]} if base.get("history") else {}),
    }


def _merge_environment(inherited: Sequence[str]) -> list[str]:
    """Add our variables to the base's.

    They are the path of our packages, no bytecode (the file system is read-only), and unbuffered logs.
    """
    ours = {"PYTHONPATH": f"/{LIBRARY_DIRECTORY}", "PYTHONDONTWRITEBYTECODE": "1", "PYTHONUNBUFFERED": "1"}
    kept = [entry for entry in inherited if entry.partition("=")[0] not in ours]
    return [*kept, *(f"{name}={value}" for name, value in ours.items())]


def _check_platform(config: Mapping[str, Any], runtime: Runtime) -> None:
    os, architecture = config.get("os"), config.get("architecture")
    if (os, architecture) != ("linux", runtime.architecture):
        raise BundleError(
            f"the base image is for {os}/{architecture}, and the image is for linux/{runtime.architecture}",
            hint="choose another image.base, or its architecture as image.architecture",
        )


def _check_python(config: Mapping[str, Any], runtime: Runtime) -> None:
    """Compiled packages run only on the Python that they were built for."""
    environment = dict(entry.partition("=")[::2] for entry in (config.get("config") or {}).get("Env") or ())
    python = environment.get("PYTHON_VERSION", runtime.python)
    if python.split(".")[:2] != runtime.python.split("."):
        raise BundleError(
            f"the base image has Python {python}, and the server's packages are for {runtime.python}",
            hint=f"choose an image.base with Python {runtime.python}, or one that was built from the Dockerfile",
        )


def _parse_base_manifest(manifest: bytes) -> dict[str, Any]:
    document = _parse_json(manifest, "manifest")
    if "manifests" in document:
        raise BundleError("the base image is an index of several platforms", hint="choose one with platform_of")
    layers = document.get("layers")
    blobs = [document.get("config"), *(layers if isinstance(layers, list) else [None])]
    if not all(isinstance(blob, dict) and blob.keys() >= {"mediaType", "digest", "size"} for blob in blobs):
        raise BundleError("the base image's manifest doesn't say what its config and layers are")
    return document


def _convert_base_layer(descriptor: Mapping[str, Any]) -> dict[str, Any]:
    media_type = _LAYER_TYPES.get(descriptor["mediaType"])
    if media_type is None:
        raise BundleError(
            f"the base image has a layer of type {descriptor['mediaType']!r}", hint="choose another image.base"
        )
    return _make_descriptor(media_type, descriptor["digest"], descriptor["size"], "base")


def _make_descriptor(media_type: str, digest: str, size: int, role: str = "") -> dict[str, Any]:
    descriptor: dict[str, Any] = {"mediaType": media_type, "digest": digest, "size": size}
    return {**descriptor, "annotations": {LAYER_ROLE_ANNOTATION: role}} if role else descriptor


def _parse_json(content: bytes, document_name: str) -> dict[str, Any]:
    try:
        document = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise BundleError(f"the base image's {document_name} can't be read", why=str(error)) from error
    if not isinstance(document, dict):
        raise BundleError(f"the base image's {document_name} is no JSON object")
    return document


def _to_json(document: Mapping[str, Any]) -> bytes:
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()
