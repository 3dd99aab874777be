"""`moorage bundle`, as a shell sees it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import xgboost

ROOT = Path(__file__).resolve().parents[3]


def bundle(directory: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Train a model of two features, and run the command on its file in `directory`."""
    rows = np.random.default_rng(0).normal(size=(50, 2))
    booster = xgboost.train({"nthread": 1, "max_depth": 2}, xgboost.DMatrix(rows, rows.sum(axis=1)), 3)
    booster.save_model(directory / "elsewhere.json")
    lines = [f"{a!r},{b!r},{a + b!r}" for a, b in rows.tolist()]
    (directory / "rows.csv").write_text("\n".join(["a,b,y", *lines]))
    return subprocess.run(
        [
            sys.executable,
            "-c",
            "from controller.cli import main; main()",
            "bundle",
            "elsewhere.json",
            "-o",
            "made",
            *arguments,
        ],
        cwd=directory,
        env={**os.environ, "PYTHONPATH": str(ROOT), "MOORAGE_HOME": str(directory / "home")},
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_model_from_elsewhere_is_bundled_with_its_rows(tmp_path: Path) -> None:
    """With the rows, the manifest has metrics and ranges over all of them; its name is the file's."""
    done = bundle(tmp_path, "--features", "a,b", "--target", "y", "--data", "rows.csv")
    assert (done.returncode, done.stdout) == (0, "")
    manifest = json.loads((tmp_path / "made" / "manifest.json").read_text())
    assert (tmp_path / "made" / "model.ubj").stat().st_size == manifest["model"]["size"]
    assert (manifest["name"], manifest["target"]["name"]) == ("elsewhere", "y")
    assert set(manifest["metrics"]) == {"train"}
    assert all(feature["min"] < feature["max"] for feature in manifest["features"])
    assert sum(manifest["target"]["predictions"]["counts"]) == 50


def test_wrong_names_are_reported_and_nothing_is_written(tmp_path: Path) -> None:
    """Too few names exit 4, a missing column exits 2; neither writes a bundle."""
    done = bundle(tmp_path, "--features", "a")
    assert (done.returncode, done.stdout) == (4, "")
    assert "it has 2 features, and 1 names are given: a" in done.stderr
    done = bundle(tmp_path, "--features", "a,b", "--data", "rows.csv")
    assert done.returncode == 2
    assert "no column 'prediction'" in done.stderr
    assert not (tmp_path / "made").exists()
