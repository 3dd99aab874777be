"""Both images for real: built, pushed to a registry, pulled by digest, run as a small Fargate task runs,
asked, ended.
"""

from __future__ import annotations

import json
import tarfile
import threading
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from controller.bundle import inventory, runtime_files
from controller.bundle.image import assemble_image, get_config_digest
from controller.bundle.layers import pack_model_layer, pack_server_layers
from controller.bundle.publish import publish_image
from controller.bundle.runtime_files import PYTHON_VERSION, Runtime
from tests.containers.conftest import TOKEN, USER, ContainerRegistry, Docker, Served, is_ready, send_request, until

LIMIT = 50_000_000  # bytes beyond the base
COMMAND = ("--model-dir", "/opt/model", "--port", "8080", "--drain-delay", "5", "--host")


@pytest.fixture(scope="module")
def pushed(docker: Docker, registry: ContainerRegistry, base: str, server_image: str) -> dict[str, str]:
    """The base and the Dockerfile's image in the registry, by Docker itself: repository → tag's digest."""
    docker("login", f"--username={USER}", "--password-stdin", registry.host, given=TOKEN)
    digests = {}
    for name, image in (("base", base), ("server", server_image)):
        docker("tag", image, f"{registry.host}/{name}:1")
        digests[name] = docker("push", "--quiet", f"{registry.host}/{name}:1")
    return digests


@pytest.fixture(scope="module", params=["server", "base"])
def image(
    request: pytest.FixtureRequest,
    docker: Docker,
    registry: ContainerRegistry,
    pushed: Any,
    served: Served,
    tmp_path_factory: Any,
) -> str:
    """The model on the Dockerfile's image, or on server layers put together without Docker; pulled by digest."""
    source, target = registry.open(request.param), registry.open(f"model-on-{request.param}")
    manifest = source.get_manifest(tag="1")
    with source.fetch_blob(get_config_digest(manifest)) as body:
        config = body.read()
    below = pack_server_layers(tmp_path_factory.mktemp("cache"), "amd64") if request.param == "base" else ()
    layers = [*below, pack_model_layer(served.bundle)]
    made = assemble_image(manifest, config, layers, runtime=Runtime(PYTHON_VERSION, "amd64"), server_version="0.1.0")
    publish_image(made, target, source, "v1")
    reference = f"{registry.host}/{target.name}@{made.digest}"
    docker("pull", "--quiet", reference)
    return reference


def test_the_server_image_holds_what_serving_needs(docker: Docker, base: str, server_image: str) -> None:
    """At most 50 MB beyond the base; no numpy, scipy or pip; nobody's user; a command that gets SIGTERM itself."""
    sizes = [int(docker("image", "inspect", "--format={{.Size}}", name)) for name in (base, server_image)]
    assert 0 < sizes[1] - sizes[0] < LIMIT
    config = json.loads(docker("image", "inspect", server_image))[0]["Config"]
    assert config["User"] == "65532:65532"
    assert config["Entrypoint"] == ["python", "-m", "inference_server"]
    assert config["Healthcheck"]["Test"][:4] == ["CMD", "python", "-m", "inference_server.health"]
    assert config["Labels"]["dev.moorage.server"] == config["Labels"]["org.opencontainers.image.version"] == "0.1.0"
    assert config["Labels"]["org.opencontainers.image.revision"] == "abc"
    run = ("run", "--rm", "--network=none", "--entrypoint=python", server_image, "-c")
    program = "import os; print(*sorted(os.listdir('/opt/moorage/lib')))"
    found = docker(*run, program).split()
    assert {"aiohttp", "xgboost", "inference_server"} <= set(found)
    assert not {"numpy", "scipy", "pip", "bin", "controller"} & set(found)


def test_build_secrets_are_not_in_the_image(docker: Docker, server_image: str, tmp_path: Path) -> None:
    """Neither the index's settings nor the certificates are in a layer, in the config or in the history."""
    archive = tmp_path / "image.tar"
    docker("save", f"--output={archive}", server_image)
    planted = (b"canary-of-the-index", b"canary-of-the-authorities")
    with tarfile.open(archive) as image:
        layers = 0
        for member in image:
            content = image.extractfile(member)
            if content is None:
                continue
            layers += member.name.endswith("layer.tar")
            whole = content.read()
            assert not any(word in whole for word in planted), member.name
    assert layers > 1
    assert "canary" not in docker("history", "--no-trunc", server_image)


def test_base_packages_are_read_from_the_registry(registry: ContainerRegistry, pushed: Any, tmp_path: Path) -> None:
    """Debian's packages of the base.

    The Dockerfile's image has these, too, and the server's packages as it holds them.
    """
    found = {}
    for name in ("base", "server"):
        source = registry.open(name)
        manifest = source.get_manifest(tag="1")
        with source.fetch_blob(get_config_digest(manifest)) as body:
            found[name] = inventory.read_inventory(source, manifest, body.read(), tmp_path)
    assert {one.distribution for one in found.values()} == {"debian-12"}
    assert {one.gap for one in found.values()} == {""}
    names = {name: {(one.kind, one.name) for one in known.packages} for name, known in found.items()}
    assert {("deb", "libc6"), ("deb", "python3-minimal"), ("deb", "ca-certificates")} <= names["base"] < names["server"]
    pins = {("pypi", name) for name in runtime_files.read_pins()}
    assert pins <= names["server"] - names["base"]


def test_a_pulled_image_predicts_within_a_small_task(docker: Docker, image: str, served: Served, address: str) -> None:
    """Read-only, unprivileged, a quarter CPU and 512 MB: the prediction is XGBoost's own, and nothing runs as root."""
    with docker.container(image, *COMMAND, address) as name:
        until(lambda: is_ready(address))
        answer = json.loads(send_request(address, "/predict", json.dumps({"instances": [served.row]}).encode()))
        assert answer["predictions"] == pytest.approx([served.prediction], rel=1e-5)
        assert json.loads(send_request(address, "/model"))["sha256"] == served.bundle.manifest.model.sha256
        limits = json.loads(docker("inspect", name))[0]["HostConfig"]
        assert (limits["ReadonlyRootfs"], limits["NanoCpus"], limits["Memory"]) == (True, 250_000_000, 512 << 20)
        assert docker("exec", name, "python", "-c", "import os; print(os.getuid())") == "65532"
        write = "import pathlib; pathlib.Path('/opt/x').write_text('')"
        assert "Read-only" in docker("exec", name, "python", "-c", f"try: {write}\nexcept OSError as e: print(e)")


def test_the_images_own_command_and_health_check_work(docker: Docker, image: str) -> None:
    """Started as it is, the server listens where the task's health check asks, and that needs no curl."""
    health = ("python", "-m", "inference_server.health", "--url", "http://127.0.0.1:8080/livez")
    with docker.container(image, network="none") as name:
        until(lambda: _healthy(docker, name, health))


def _healthy(docker: Docker, name: str, health: tuple[str, ...]) -> bool:
    program = f"import subprocess; print(subprocess.run({list(health)!r}).returncode)"
    return docker("exec", name, "python", "-c", program) == "0"


def test_sigterm_loses_nothing(docker: Docker, image: str, served: Served, address: str) -> None:
    """Asked without pause, the server answers all through its drain delay: not one request fails, and it
    ends with 0.
    """
    body = json.dumps({"instances": [served.row]}).encode()
    outcomes: Counter[str] = Counter()
    stop = threading.Event()
    with docker.container(image, *COMMAND, address) as name:
        until(lambda: is_ready(address))
        clients = [threading.Thread(target=_ask_on, args=(address, body, outcomes, stop)) for _ in range(4)]
        for client in clients:
            client.start()
        until(lambda: outcomes["200"] >= 20)
        docker("kill", "--signal=TERM", name)
        after = outcomes["200"] + 40
        until(lambda: outcomes["200"] >= after)
        stop.set()  # by now ECS has long told everybody that the task is leaving
        for client in clients:
            client.join()
        assert docker("wait", name) == "0"
    assert set(outcomes) == {"200"}, outcomes


def _ask_on(address: str, body: bytes, outcomes: Counter[str], stop: threading.Event) -> None:
    while not stop.is_set():
        try:
            send_request(address, "/predict", body)
            outcomes["200"] += 1
        except OSError as broken:
            outcomes[repr(broken)] += 1
