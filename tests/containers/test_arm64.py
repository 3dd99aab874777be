"""The image for arm64, run: its own layers on Debian's arm64 Python, by an emulated processor."""

from __future__ import annotations

import gzip
import io
import json
import os
import subprocess
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from controller.bundle.image import AssembledImage, assemble_image, compute_digest
from controller.bundle.layers import Layer, pack_model_layer, pack_server_layers
from controller.bundle.runtime_files import PYTHON_VERSION, Runtime
from tests.containers.conftest import Served, is_ready, running, send_request, skip_unless_installed, until

EMULATOR = "qemu-aarch64-static"
LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"


@pytest.fixture
def debian(tmp_path: Path) -> Path:
    """Debian's Python for arm64 with the libraries that it needs: files alone, nothing of them is installed or run."""
    skip_unless_installed("mmdebstrap", EMULATOR)
    place = tmp_path / "debian"
    command = [
        "mmdebstrap",
        "--arch=arm64",
        "--variant=extract",
        "--include=python3,libstdc++6",
        "bookworm",
        str(place),
    ]
    made = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)
    if made.returncode:
        pytest.skip(f"mmdebstrap: {made.stderr.strip().splitlines()[-1]}")
    return place


def assemble_on_base(layers: list[Layer]) -> AssembledImage:
    """The image on a base of which only the processor counts here."""
    roots = {"type": "layers", "diff_ids": [compute_digest(b"plain")]}
    config = json.dumps({"architecture": "arm64", "os": "linux", "config": {}, "rootfs": roots}).encode()
    parts = [
        {"mediaType": kind, "digest": compute_digest(part), "size": len(part)}
        for kind, part in (("c", config), (LAYER, b"x"))
    ]
    manifest = json.dumps({"schemaVersion": 2, "config": parts[0], "layers": parts[1:]}).encode()
    return assemble_image(manifest, config, layers, runtime=Runtime(PYTHON_VERSION, "arm64"), server_version="0.1.0")


def extract_layer(layer: Layer, place: Path) -> None:
    """Write a layer's files below a directory. The layers are this test's own."""
    with tarfile.open(fileobj=io.BytesIO(gzip.decompress(layer.content))) as archive:
        for member in archive:
            if member.isfile() and (content := archive.extractfile(member)):
                file = place / member.name
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(content.read())


def start_image_command(
    config: Mapping[str, Any], place: Path, debian: Path, address: str
) -> tuple[list[str], dict[str, str]]:
    """The image's own command and environment, as far as they can be had without a container."""
    there = {
        "python": str(debian / "usr/bin" / f"python{PYTHON_VERSION}"),
        "/opt/model": f"{place}/opt/model",
        "0.0.0.0": address,
    }
    words = [there.get(word, word) for word in (*config["Entrypoint"], *config["Cmd"])]
    environment = dict(variable.split("=", 1) for variable in config["Env"])
    environment["PYTHONPATH"] = f"{place}{environment['PYTHONPATH']}"
    return [EMULATOR, "-L", str(debian), *words, "--drain-delay", "0"], environment


def test_the_arm64_image_predicts(served: Served, debian: Path, tmp_path: Path, address: str) -> None:
    """What is assembled for arm64 starts on an arm64 Python, is ready, predicts what was trained, and ends with 0."""
    image = assemble_on_base([*pack_server_layers(tmp_path / "cache", "arm64"), pack_model_layer(served.bundle)])
    place = tmp_path / "image"
    for layer in image.layers:
        extract_layer(layer, place)
    library = (place / "opt/moorage/lib/xgboost/lib/libxgboost.so").read_bytes()
    assert int.from_bytes(library[18:20], "little") == 183  # ELF's e_machine: EM_AARCH64
    command, environment = start_image_command(json.loads(image.config)["config"], place, debian, address)
    log = tmp_path / "log"
    with running(command, log, environment | {"PATH": os.environ["PATH"]}) as server:
        until(lambda: server.poll() is not None or is_ready(address), 240)
        assert server.poll() is None, log.read_text()
        answer = json.loads(send_request(address, "/predict", json.dumps({"instances": [served.row]}).encode()))
        assert answer["predictions"] == [pytest.approx(served.prediction, rel=1e-6)]
    assert server.returncode == 0, log.read_text()
