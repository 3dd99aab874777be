"""`local up --runner docker`: from a spec to a container that serves, through the command line, with nothing left
behind.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

from tests.containers.conftest import ROOT, Docker, until

SPEC = """
apiVersion: moorage/v1alpha1
kind: ModelService
metadata: {name: contained}
spec:
  data: {source: ../data/california_housing.csv, target: median_house_value}
  training:
    algorithm: {name: xgboost, version: "3.2-0"}
    hyperparameters: {objective: "reg:squarederror", max_depth: 3, num_round: 10}
  service: {cpu: 0.25 vCPU, memory: 512Mi}
  api: {routes: [{method: POST, path: /predict}]}
"""
ROW = [-122.23, 37.88, 41, 880, 129, 322, 126, 8.3252]


def moorage(directory: Path, docker: Docker, base: str, *words: str) -> Any:
    """Run a command against the embedded AWS of this directory; it must succeed."""
    where = {"MOORAGE_HOME": str(directory / "home"), "MOORAGE_LOCAL": "1", "NO_COLOR": "1", "MOORAGE_LOCAL_BASE": base}
    where |= {"DOCKER_HOST": f"unix://{docker.home}/sock", "DOCKER_CONFIG": str(docker.home)}
    command = [str(Path(sys.executable).parent / "moorage"), *words, "-o", "json"]
    done = subprocess.run(
        command, cwd=directory, env=os.environ | where, capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_spec_is_served_by_a_container(docker: Docker, base: str, tmp_path: Path) -> None:
    """Trained, assembled on a real base, pulled by digest and run within the task's limits; a rollout replaces it."""
    for name in ("specs", "data"):
        shutil.copytree(ROOT / name, tmp_path / name)
    spec = tmp_path / "specs/housing-model.yaml"
    spec.write_text(SPEC)
    try:
        moorage(tmp_path, docker, base, "local", "up", "--runner", "docker")
        moorage(tmp_path, docker, base, "reconcile", "--once", "-f", "specs")
        status = moorage(tmp_path, docker, base, "get", "contained", "-f", "specs")["status"]
        request = urllib.request.Request(
            f"{status['endpoint']}/predict",
            json.dumps({"instances": [ROW]}).encode(),
            {"content-type": "application/json"},
        )
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=30) as answer:
            assert json.load(answer)["model"] == {"name": "contained", "version": 1}
        (first,) = docker("ps", "--quiet").split()
        container = json.loads(docker("inspect", first))[0]
        assert container["Config"]["Image"].removeprefix("moorage-local:") in status["image"]
        limits = container["HostConfig"]
        assert (limits["ReadonlyRootfs"], limits["NanoCpus"], limits["Memory"]) == (True, 250_000_000, 512 << 20)
        spec.write_text(SPEC.replace("512Mi", "1 GB"))
        moorage(tmp_path, docker, base, "reconcile", "--once", "-f", "specs")
        until(lambda: first not in (left := docker("ps", "--quiet").split()) and len(left) == 1)
    finally:
        moorage(tmp_path, docker, base, "local", "down")
    assert docker("ps", "--all", "--quiet") == ""
