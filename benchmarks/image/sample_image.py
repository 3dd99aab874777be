"""An image of a made-up model on a made-up base, and a registry in memory; run as a program it prints the digest."""

from __future__ import annotations

import json
import os
import random
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

from controller.bundle import runtime_files
from controller.bundle.build import Bundle
from controller.bundle.image import AssembledImage, assemble_image, compute_digest
from controller.bundle.layers import Layer, _pack_layer, _tar_entries, pack_model_layer, pack_server_layers
from controller.bundle.runtime_files import PYTHON_VERSION, Runtime
from inference_server.manifest import Feature, Manifest, ModelFile, Target

BASE_LAYER = b"the base"
CONFIG = json.dumps(
    {
        "architecture": "amd64",
        "os": "linux",
        "config": {},
        "rootfs": {"type": "layers", "diff_ids": [compute_digest(b"plain")]},
    }
).encode()
LAYER_TYPE = "application/vnd.oci.image.layer.v1.tar+gzip"


def bundle(number: int) -> Bundle:
    """A bundle of the size of the demo's (390 kB), that compresses as little as a real one."""
    model = random.Random(number).randbytes(390_000)
    file = ModelFile(sha256(model).hexdigest(), len(model))
    return Bundle(
        model, Manifest("m", file, (Feature("a"),), Target("y"), "reg:squarederror", "3.2.0", version=number + 1)
    )


BUNDLES = (bundle(0), bundle(1))


def base_manifest() -> bytes:
    """The base's manifest."""
    parts = [{"mediaType": "c", "digest": compute_digest(CONFIG), "size": len(CONFIG)}]
    parts.append({"mediaType": LAYER_TYPE, "digest": compute_digest(BASE_LAYER), "size": len(BASE_LAYER)})
    return json.dumps({"schemaVersion": 2, "config": parts[0], "layers": parts[1:]}).encode()


def build_image(number: int, cache: Path, below: Sequence[Layer] = ()) -> AssembledImage:
    """The image of one of the two models."""
    layers = [*(below or pack_server_layers(cache, "amd64")), pack_model_layer(BUNDLES[number])]
    return assemble_image(base_manifest(), CONFIG, layers, runtime=Runtime(PYTHON_VERSION, "amd64"), server_version="1")


@dataclass
class InMemoryRepository:
    """A repository in memory."""

    blobs: dict[str, bytes] = field(default_factory=lambda: {compute_digest(BASE_LAYER): BASE_LAYER})
    manifests: dict[str, bytes] = field(default_factory=dict)

    def missing(self, digests: Sequence[str]) -> set[str]:
        return set(digests) - self.blobs.keys()

    @contextmanager
    def fetch(self, digest: str) -> Iterator[Any]:
        raise KeyError(digest)
        yield

    def push(self, digest: str, pieces: Iterable[bytes]) -> None:
        self.blobs[digest] = b"".join(pieces)

    def put(self, manifest: bytes, media_type: str, tag: str) -> None:
        del media_type
        self.manifests[tag] = manifest


def main() -> None:
    """Print the digest, of packages as they are installed or, with BENCH_WHEELS, of the locked wheels."""
    os.umask(int(os.environ.get("BENCH_UMASK", "22"), 8))
    with tempfile.TemporaryDirectory() as directory:
        below: tuple[Layer, ...] = ()
        if "BENCH_WHEELS" in os.environ:
            files = runtime_files.fetch_dependencies("amd64", Path(directory) / "wheels")
            below = (
                _pack_layer("dependencies", _tar_entries(files)),
                _pack_layer("server", _tar_entries(runtime_files.server_files())),
            )
        print(build_image(0, Path(directory) / "cache", below).digest)


if __name__ == "__main__":
    main()
