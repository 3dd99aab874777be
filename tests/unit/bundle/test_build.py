"""From model bytes to a bundle, through the real child process."""

from __future__ import annotations

import dataclasses
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xgboost

from controller.bundle import Bundle, XgboostModel, build_bundle
from controller.bundle.evaluation import evaluate_model
from controller.dataset import load_dataset
from controller.errors import BundleError
from inference_server import manifest as manifests
from inference_server.manifest import Feature

HOUSES = Path(__file__).resolve().parents[3] / "data" / "california_housing.csv"


def test_the_manifest_describes_the_model(training_data: Any, model: XgboostModel, bundle: Bundle) -> None:
    """Digest, names, ranges, objective, trainer, metrics, lineage: each is of this model and these channels."""
    manifest = bundle.manifest
    assert bundle.model == model.content, "UBJSON is served as the trainer wrote it"
    assert (manifest.model.sha256, manifest.model.size) == (sha256(bundle.model).hexdigest(), len(bundle.model))
    assert (manifest.name, manifest.target.name, manifest.feature_names) == ("m", "y", training_data.names)
    assert (manifest.objective, manifest.xgboost_version) == ("reg:squarederror", xgboost.__version__)
    assert set(manifest.metrics) == {"train", "validation", "test"}
    assert all(set(found) == {"rmse", "mae"} for found in manifest.metrics.values())
    assert manifest.lineage == {"data": "0" * 64, "commit": "abc"}
    first, last = manifest.features[0], manifest.features[2]
    rows = training_data.rows(0)
    assert (first.min, first.max, first.missing) == (rows[:, 1].min(), rows[:, 1].max(), 0)
    assert last.missing == np.isnan(rows[:, 3]).sum() > 0
    assert manifest.target.predictions is not None
    assert sum(manifest.target.predictions.counts) == len(rows)


def test_equal_arguments_give_equal_bytes(training_data: Any, model: XgboostModel, bundle: Bundle) -> None:
    """Building again gives the same two files, and measuring again, in another process, the same results."""
    again = build_bundle(
        model,
        name="m",
        features=training_data.names,
        target="y",
        channels=training_data.channels(),
        lineage=bundle.manifest.lineage,
    )
    assert again.files() == bundle.files()
    assert evaluate_model(model, training_data.names, training_data.channels(), timeout=299) == evaluate_model(
        model, training_data.names, training_data.channels()
    )


def test_unchanged_evaluation_is_reused(training_data: Any, model: XgboostModel) -> None:
    """The same model on the same rows gives the very same evaluation; with one channel less it is another one."""
    first = evaluate_model(model, training_data.names, training_data.channels())
    assert evaluate_model(model, training_data.names, training_data.channels()) is first
    assert evaluate_model(model, training_data.names, {"train": training_data.channels()["train"]}) is not first


def test_the_files_are_written_and_read_back(bundle: Bundle, tmp_path: Path) -> None:
    """A bundle on disk is its two files, and the manifest reads back as it was."""
    bundle.write(tmp_path / "new" / "directory")
    written = {path.name: path.read_bytes() for path in (tmp_path / "new" / "directory").iterdir()}
    assert written == bundle.files()
    assert manifests.loads(written["manifest.json"]) == bundle.manifest
    with pytest.raises(BundleError, match="can't be written"):
        bundle.write(tmp_path / "new" / "directory" / "model.ubj")


def test_a_json_model_from_elsewhere_becomes_ubjson(training_data: Any, model: XgboostModel) -> None:
    """A bundle needs no data: the model is converted, its canaries hold, and ranges stay unknown."""
    bundle = build_bundle(
        training_data.save(training_data.load(model.content), "json"),
        name="m",
        features=training_data.names,
        target="y",
    )
    assert bundle.model == model.content
    assert bundle.manifest.features == tuple(map(Feature, training_data.names))
    assert bundle.manifest.metrics == {}
    booster = training_data.load(bundle.model)
    for canary in bundle.manifest.canaries:
        row = np.array([[np.nan if cell is None else cell for cell in canary.row]])
        assert booster.predict(xgboost.DMatrix(row)).tolist() == list(canary.prediction)


@pytest.mark.parametrize(
    ("changes", "arguments", "reason"),
    [
        ({"content": b"{L\0\0\0\0\0\0\0\x07learner{}}"}, {}, "the model can't be used"),
        ({}, {"features": ("a", "b")}, "it has 3 features, and 2 names are given"),
        ({}, {"channels": {"train": b"1,2\n"}}, "the model can't be used"),
        ({}, {"channels": {"train": b"1,2,3,4\n5\n"}}, "the model can't be used"),
        ({"version": (3, 99, 0)}, {}, "trained by XGBoost 3.99.0"),
        ({}, {"channels": {"holdout": b"1,2,3,4\n"}}, "no such channel: holdout"),
        ({}, {"name": "\n"}, "manifest would be wrong"),
    ],
)
def test_inconsistent_input_is_a_bundle_error(
    training_data: Any, model: XgboostModel, changes: dict[str, Any], arguments: dict[str, Any], reason: str
) -> None:
    """Damaged models, wrong names, rows or versions end as one clear error each, not as a traceback of the child's."""
    with pytest.raises(BundleError, match=reason) as caught:
        build_bundle(
            dataclasses.replace(model, **changes),
            **{"name": "m", "features": training_data.names, "target": "y", **arguments},
        )
    assert "Traceback" not in str(caught.value)


def test_a_child_that_takes_too_long_is_stopped(training_data: Any, model: XgboostModel) -> None:
    """The time limit ends the child and says so."""
    with pytest.raises(BundleError, match=r"took longer than 0\.001 s"):
        evaluate_model(model, training_data.names, {}, timeout=0.001)


def test_crashing_model_only_ends_the_child_process(training_data: Any) -> None:
    """Nesting that overflows the library's stack ends a child process, and this one gets a reason."""
    deep = b"{" + b"L\0\0\0\0\0\0\0\x01a{" * 300_000
    with pytest.raises(BundleError, match="the model's evaluation died: killed by SIG"):
        evaluate_model(XgboostModel(deep, "ubj", (3, 2, 0)), training_data.names, {})


def test_california_housing_passes_the_demos_gate(training_data: Any) -> None:
    """The demo's data, split and hyperparameters give a test RMSE under the demo's gate, and its manifest says so."""
    data = load_dataset(HOUSES, target="median_house_value")
    channels = {part: channel.content for part, channel in data.channels.items()}
    rows = np.loadtxt(channels["train"].decode().splitlines(), delimiter=",")
    booster = training_data.train(
        rows, 100, objective="reg:squarederror", max_depth=6, eta=0.3, alpha=3, colsample_bytree=0.7
    )
    bundle = build_bundle(
        training_data.save(booster), name="housing", features=data.features, target=data.target, channels=channels
    )
    metrics = bundle.manifest.metrics
    assert metrics["test"]["rmse"] < 50_500
    assert metrics["train"]["rmse"] < metrics["validation"]["rmse"]
    ranges = {feature.name: (feature.min, feature.max) for feature in bundle.manifest.features}
    assert ranges["housing_median_age"] == (1, 52)
