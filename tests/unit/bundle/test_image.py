"""Our layers on a base image: what the image says, and which bases are refused."""

from __future__ import annotations

import json
from hashlib import sha256
from typing import Any

import pytest

from controller.bundle.image import AssembledImage, assemble_image, get_config_digest, select_platform
from controller.bundle.layers import Layer
from controller.bundle.runtime_files import Runtime
from controller.errors import BundleError

RUNTIME = Runtime("3.11", "amd64")
ROLES: tuple[Any, ...] = ("dependencies", "server", "model")
LAYERS = [Layer(role, f"sha256:{role}-plain", f"sha256:{role}", 10, b"") for role in ROLES]
CONFIG: dict[str, Any] = {
    "architecture": "amd64",
    "os": "linux",
    "config": {
        "Env": ["PATH=/usr/local/bin", "PYTHON_VERSION=3.11.15", "PYTHONPATH=/elsewhere"],
        "Cmd": ["python3"],
        "Labels": {"vendor": "x"},
    },
    "rootfs": {"type": "layers", "diff_ids": ["sha256:b1", "sha256:b2"]},
    "history": [{"created_by": "a"}, {"created_by": "b", "empty_layer": True}, {"created_by": "c"}],
}


def digest(content: bytes) -> str:
    return f"sha256:{sha256(content).hexdigest()}"


def base(
    config: dict[str, Any] = CONFIG, kind: str = "application/vnd.docker.image.rootfs.diff.tar.gzip"
) -> tuple[bytes, bytes]:
    packed = json.dumps(config).encode()
    layers = [{"mediaType": kind, "digest": f"sha256:base{n}", "size": n} for n in (1, 2)]
    descriptor = {"mediaType": "application/vnd.docker.container.image.v1+json", "digest": digest(packed), "size": 1}
    return json.dumps({"schemaVersion": 2, "config": descriptor, "layers": layers}).encode(), packed


def image(manifest: bytes, config: bytes) -> AssembledImage:
    return assemble_image(manifest, config, LAYERS, runtime=RUNTIME, server_version="0.1.0")


def test_the_manifest_lists_base_then_ours_each_with_its_role() -> None:
    """Layers are in order, annotated, of OCI's media types, and the manifest points at the config's very bytes."""
    made = image(*base())
    manifest = json.loads(made.manifest)
    assert manifest["mediaType"] == "application/vnd.oci.image.manifest.v1+json"
    assert {layer["mediaType"] for layer in manifest["layers"]} == {"application/vnd.oci.image.layer.v1.tar+gzip"}
    assert [(layer["digest"], layer["annotations"]["dev.moorage.layer"]) for layer in manifest["layers"]] == [
        ("sha256:base1", "base"),
        ("sha256:base2", "base"),
        ("sha256:dependencies", "dependencies"),
        ("sha256:server", "server"),
        ("sha256:model", "model"),
    ]
    assert manifest["config"] == {
        "mediaType": "application/vnd.oci.image.config.v1+json",
        "digest": made.config_digest,
        "size": len(made.config),
    }
    assert (made.digest, made.config_digest) == (digest(made.manifest), digest(made.config))
    assert made.base_layers == ("sha256:base1", "sha256:base2")


def test_config_starts_the_server_as_user_nobody() -> None:
    """Command, user, port, label and environment are ours; what the base set besides stays."""
    config = json.loads(image(*base()).config)
    assert config["rootfs"]["diff_ids"] == ["sha256:b1", "sha256:b2", *(layer.diff_id for layer in LAYERS)]
    run = config["config"]
    assert run["Entrypoint"] == ["python", "-m", "inference_server"]
    assert run["Cmd"] == ["--model-dir", "/opt/model", "--host", "0.0.0.0", "--port", "8080"]
    assert (run["User"], run["ExposedPorts"]) == ("65532:65532", {"8080/tcp": {}})
    assert run["Labels"] == {"vendor": "x", "dev.moorage.server": "0.1.0"}
    assert run["Env"] == [
        "PATH=/usr/local/bin",
        "PYTHON_VERSION=3.11.15",
        "PYTHONPATH=/opt/moorage/lib",
        "PYTHONDONTWRITEBYTECODE=1",
        "PYTHONUNBUFFERED=1",
    ]


def test_history_has_an_entry_for_each_layer_or_there_is_none() -> None:
    """Entries that aren't marked empty are as many as the layers, as the specification asks."""
    history = json.loads(image(*base()).config)["history"]
    assert len([entry for entry in history if not entry.get("empty_layer")]) == 5
    assert "history" not in json.loads(image(*base({**CONFIG, "history": []})).config)


def test_equal_arguments_give_the_same_digest_and_other_layers_another() -> None:
    """The digest pins content: nothing of the day is in it, and everything of the layers."""
    assert image(*base()).digest == image(*base()).digest
    other = assemble_image(*base(), LAYERS[:2], runtime=RUNTIME, server_version="0.1.0")
    assert other.digest != image(*base()).digest


def test_a_bare_base_is_enough() -> None:
    """A base without run configuration, labels or a stated Python is taken at its word."""
    config = json.loads(image(*base({**CONFIG, "config": None})).config)
    assert config["config"]["Labels"] == {"dev.moorage.server": "0.1.0"}


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"architecture": "arm64"}, "is for linux/arm64"),
        ({"os": "windows"}, "is for windows/amd64"),
        ({"config": {"Env": ["PYTHON_VERSION=3.12.1"]}}, "has Python 3.12.1"),
        ({"config": {"Env": ["PYTHON_VERSION=3.1"]}}, "has Python 3.1,"),
        ({"rootfs": {"diff_ids": ["sha256:b1"]}}, "count different layers"),
        ({"rootfs": {}}, "count different layers"),
    ],
)
def test_an_unsuitable_base_is_refused(changes: dict[str, Any], reason: str) -> None:
    """Compiled packages for another Python or processor would only fail in the task, an hour later."""
    with pytest.raises(BundleError, match=reason):
        image(*base({**CONFIG, **changes}))


def test_a_base_that_contradicts_itself_is_refused() -> None:
    """Another config than the manifest's, foreign layers, an index and nonsense each have their message."""
    manifest, config = base()
    for arguments, reason in (
        ((manifest, config + b" "), "not the one that its manifest names"),
        (base(kind="application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"), "has a layer of type"),
        ((b'{"manifests": []}', config), "index of several platforms"),
        ((b'{"config": {}, "layers": 3}', config), "doesn't say what its config and layers are"),
        ((b"[]", config), "no JSON object"),
        ((b"{", config), "can't be read"),
    ):
        with pytest.raises(BundleError, match=reason):
            image(*arguments)


def test_a_bases_parts_are_found() -> None:
    """The manifest names its config; an index names the manifest for Linux on an architecture."""
    manifest, config = base()
    assert get_config_digest(manifest) == digest(config)
    entries = [
        {"digest": "sha256:w", "platform": {"os": "windows", "architecture": "amd64"}},
        {"digest": "sha256:a", "platform": {"os": "linux", "architecture": "amd64"}},
    ]
    index = json.dumps({"manifests": entries}).encode()
    assert select_platform(index, "amd64") == "sha256:a"
    with pytest.raises(BundleError, match="isn't made for linux/arm64"):
        select_platform(index, "arm64")
