"""The real inference server as a task: assembled, pushed, pinned, rolled out, asked."""

from __future__ import annotations

import json
import urllib.request
from typing import Any

import numpy as np
import pytest
import xgboost

from controller.bundle import build_bundle
from controller.bundle.image import assemble_image, select_platform
from controller.bundle.layers import pack_model_layer
from controller.bundle.runtime_files import PYTHON_VERSION, Runtime
from controller.bundle.xgboost_model import identify_model

pytestmark = pytest.mark.e2e

HEALTH = ["CMD", "python", "-m", "inference_server.health", "--url", "http://127.0.0.1:8080/livez"]
BASE = "ecr-public/docker/library/python"


def model(seed: int) -> bytes:
    """Train a small regression of two features."""
    random = np.random.default_rng(seed)
    rows = random.normal(size=(200, 2))
    matrix = xgboost.DMatrix(rows, label=rows[:, 0] * 3 + seed)
    trained = xgboost.train({"max_depth": 2, "nthread": 1, "verbosity": 0}, matrix, 3)
    return bytes(trained.save_raw("ubj"))


def push(containers: Any, seed: int) -> str:
    """Build a bundle and an image on the seeded base, push it as the controller does; return its pinned reference.

    The server's own layers are left out: the embedded AWS runs the server that is installed here.
    """
    bundle = build_bundle(identify_model(model(seed)), name=f"model-{seed}", features=("a", "b"), target="y")
    ecr = containers.ecr
    tag = {"imageTag": f"{PYTHON_VERSION}-slim"}
    index = ecr.batch_get_image(repositoryName=BASE, imageIds=[tag])["images"][0]["imageManifest"]
    pinned = {"imageDigest": select_platform(index.encode(), "amd64")}
    base = ecr.batch_get_image(repositoryName=BASE, imageIds=[pinned])["images"][0]["imageManifest"]
    document = json.loads(base)
    parts = {}
    for blob in (document["config"], *document["layers"]):
        url = ecr.get_download_url_for_layer(repositoryName=BASE, layerDigest=blob["digest"])["downloadUrl"]
        parts[blob["digest"]] = containers.get(url)[1]
    config = parts[document["config"]["digest"]]
    image = assemble_image(
        base.encode(),
        config,
        [pack_model_layer(bundle)],
        runtime=Runtime(PYTHON_VERSION, "amd64"),
        server_version="0.1.0",
    )
    for content in (*parts.values(), image.config, *(layer.content for layer in image.layers)):
        containers.push_blob(content)
    ecr.put_image(
        repositoryName="model", imageManifest=image.manifest.decode(), imageDigest=image.digest, imageTag=f"v{seed}"
    )
    return f"123456789012.dkr.ecr.us-east-1.amazonaws.com/model@{image.digest}"


def ask(address: str, path: str, body: Any = None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"http://{address}:8080{path}", data, {"Content-Type": "application/json"})
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=10) as answer:
        return json.load(answer)


def test_versions_of_a_model_roll_out(containers: Any) -> None:
    """Each version's task serves exactly the model of its pinned image, is healthy by its own check, and logs JSON."""
    shas = []
    for seed in (1, 2):
        definition = containers.register_task_definition(
            push(containers, seed), healthCheck={"command": HEALTH}, stopTimeout=30
        )
        if seed == 1:
            containers.create_service("real-server", definition)
        else:
            containers.ecs.update_service(cluster="models", service="real-server", taskDefinition=definition)
        containers.wait_until_stable("real-server")
        [task] = containers.tasks("real-server")
        address = containers.address(task)
        assert ask(address, "/model")["name"] == f"model-{seed}"
        shas.append(ask(address, "/model")["sha256"])
        answer = ask(address, "/predict", {"instances": [[0.5, -1.0]]})
        expected = xgboost.Booster(model_file=bytearray(model(seed))).predict(xgboost.DMatrix([[0.5, -1.0]]))
        assert answer["predictions"] == pytest.approx(expected.tolist(), rel=1e-5)
    assert len(set(shas)) == 2
