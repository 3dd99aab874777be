"""The wheel works without the repository."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli_workspace import ROOT, CliWorkspace

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]


def run(directory: Path, *words: str | Path, **variables: str) -> str:
    """Run Python outside the repository, and return its output."""
    done = subprocess.run(
        [sys.executable, *words], cwd=directory, env=os.environ | variables, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_an_installed_wheel_runs_outside_the_repository(tmp_path: Path) -> None:
    """An installed wheel alone reconciles the demo's specs on the embedded AWS that it contains."""
    run(ROOT, "-m", "hatchling", "build", "-t", "wheel", "-d", tmp_path / "dist")
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    installed = tmp_path / "installed"
    run(tmp_path, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target", installed, wheel)
    (tmp_path / "team").mkdir()
    variables = {"PYTHONPATH": str(installed), "MOORAGE_LOCAL_RUNNER": "noop"}
    team = CliWorkspace(tmp_path / "team", variables=variables)
    team.copy_from_repository()
    program = "import controller, embedded_aws; print(controller.__file__, embedded_aws.__file__)"
    found = run(tmp_path / "team", "-c", program, PYTHONPATH=str(installed)).split()
    assert found == [str(installed / name / "__init__.py") for name in ("controller", "embedded_aws")]
    try:
        done = team.reconcile("--local")
        assert done.code == 0, done.err
        assert done.json["ready"] == 2
    finally:
        team.stop_embedded_aws()
