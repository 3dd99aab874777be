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

from controller.bundle import closure
from controller.bundle.build import Bundle
from controller.bundle.closure import PYTHON, Runtime
from controller.bundle.image import Image, assemble, digest_of
from controller.bundle.layers import Layer, _entries, _pack, model_layer, server_layers
from inference_server.manifest import Feature, Manifest, ModelFile, Target

BASE_LAYER = b"the base"
CONFIG = json.dumps(
    {
        "architecture": "amd64",
        "os": "linux",
        "config": {},
        "rootfs": {"type": "layers", "diff_ids": [digest_of(b"plain")]},
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
    parts = [{"mediaType": "c", "digest": digest_of(CONFIG), "size": len(CONFIG)}]
    parts.append({"mediaType": LAYER_TYPE, "digest": digest_of(BASE_LAYER), "size": len(BASE_LAYER)})
    return json.dumps({"schemaVersion": 2, "config": parts[0], "layers": parts[1:]}).encode()


def build_image(number: int, cache: Path, below: Sequence[Layer] = ()) -> Image:
    """The image of one of the two models."""
    layers = [*(below or server_layers(cache, "amd64")), model_layer(BUNDLES[number])]
    return assemble(base_manifest(), CONFIG, layers, runtime=Runtime(PYTHON, "amd64"), server_version="1")


@dataclass
class InMemoryRepository:
    """A repository in memory."""

    blobs: dict[str, bytes] = field(default_factory=lambda: {digest_of(BASE_LAYER): BASE_LAYER})
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
            files = closure.fetched("amd64", Path(directory) / "wheels")
            below = (_pack("dependencies", _entries(files)), _pack("server", _entries(closure.server())))
        print(build_image(0, Path(directory) / "cache", below).digest)


if __name__ == "__main__":
    main()
