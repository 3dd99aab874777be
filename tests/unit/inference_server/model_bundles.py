"""Bundles of small models, trained by the xgboost package in the test process."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import xgboost as xgb

from inference_server import manifest as manifests
from inference_server.manifest import Canary, Feature, Histogram, Manifest, ModelFile, Target

NAMES = (
    "median_income",
    "housing_median_age",
    "total_rooms",
    "total_bedrooms",
    "population",
    "households",
    "latitude",
    "longitude",
)


@dataclass(frozen=True)
class Bundle:
    """A bundle on disk, with the booster and rows that made it. `predict` is the xgboost package's own answer."""

    directory: Path
    booster: xgb.Booster
    rows: np.ndarray
    manifest: Manifest

    def predict(self, rows: np.ndarray, **options: Any) -> np.ndarray:
        """Predict as the xgboost package does."""
        types = self.booster.feature_types
        matrix = xgb.DMatrix(rows, feature_names=list(NAMES), feature_types=types, enable_categorical=bool(types))
        return self.booster.predict(matrix, **options)

    def write(self, directory: Path, manifest: Manifest | None = None, model: bytes | None = None) -> Path:
        """Write a variant of the bundle."""
        directory.mkdir(parents=True, exist_ok=True)
        (directory / "model.ubj").write_bytes(model or bytes(self.booster.save_raw("ubj")))
        (directory / "manifest.json").write_bytes(manifests.dumps(manifest or self.manifest))
        return directory


def train(directory: Path, objective: str, categorical: bool = False, **parameters: Any) -> Bundle:
    """Train a small model on random rows, a tenth of the values missing, and bundle it with two canary rows."""
    random = np.random.default_rng(7)
    rows = random.normal(size=(600, len(NAMES))).astype(np.float32)
    label = rows[:, 0] * 3 + rows[:, 1] * rows[:, 2] + random.normal(scale=0.1, size=600)
    rows[random.random(rows.shape) < 0.1] = np.nan
    types = None
    if categorical:
        rows[:, 2] = random.integers(0, 9, 600)
        rows[::11, 2] = np.nan
        types = ["q", "q", "c", *["q"] * 5]
    if classes := 3 if objective.startswith("multi") else 0:
        parameters |= {"num_class": classes}
    if objective == "reg:quantileerror":
        parameters = {"quantile_alpha": 0.4} | parameters
    matrix = xgb.DMatrix(rows, feature_names=list(NAMES), feature_types=types, enable_categorical=categorical)
    _label(matrix, objective, label)
    train_bundle = xgb.train({"objective": objective, "nthread": 1, "seed": 1, "max_depth": 4} | parameters, matrix, 12)
    raw = bytes(train_bundle.save_raw("ubj"))
    booster = xgb.Booster({"nthread": 1})
    booster.load_model(bytearray(raw))
    expected = booster.predict(matrix, strict_shape=True)
    manifest = Manifest(
        name="housing-model",
        version=3,
        model=ModelFile(hashlib.sha256(raw).hexdigest(), len(raw)),
        features=tuple(Feature(name, -5, 5, 0, 1) for name in NAMES),
        target=Target("median_house_value"),
        objective=json.loads(booster.save_config())["learner"]["objective"]["name"],  # an alias names another
        num_class=classes,
        xgboost_version=xgb.__version__,
        metrics={"test": {"rmse": 1.5}},
        lineage={"commit": "abc"},
        canaries=tuple(
            Canary(tuple(None if np.isnan(v) else float(v) for v in rows[i]), tuple(map(float, expected[i])))
            for i in (0, 1)
        ),
    )
    bundle = Bundle(directory, booster, rows, manifest)
    bundle.write(directory, model=raw)
    return bundle


def with_histograms(bundle: Bundle, directory: Path) -> Bundle:
    """Give the bundle with histograms of its rows and predictions, as bundles of real models have them."""
    features = [
        Feature(
            name,
            float(values.min()),
            float(values.max()),
            float(values.mean()),
            len(column) - len(values),
            decile_histogram(values),
        )
        for name, column in zip(NAMES, bundle.rows.T, strict=True)
        for values in (column[~np.isnan(column)],)
    ]
    predictions = bundle.predict(bundle.rows)
    target = Target("median_house_value", decile_histogram(predictions) if predictions.ndim == 1 else None)
    manifest = replace(bundle.manifest, features=tuple(features), target=target)
    bundle.write(directory, manifest)
    return replace(bundle, directory=directory, manifest=manifest)


def decile_histogram(values: np.ndarray) -> Histogram:
    """Count values between their own deciles."""
    edges = np.unique(np.quantile(values, np.linspace(0, 1, 11)).astype(np.float64))
    return Histogram(tuple(edges.tolist()), tuple(np.histogram(values, edges)[0].tolist()))


def _label(matrix: xgb.DMatrix, objective: str, values: np.ndarray) -> None:
    """Give each objective labels that it can learn from, made from the same values."""
    kind = objective.partition(":")[0]
    if objective == "reg:logistic":
        matrix.set_label((values > 0) * 0.8)
    elif kind in {"binary", "multi"} or objective == "rank:map":
        matrix.set_label((values > 0).astype(int) + (values > 2) * (kind == "multi"))
    elif kind in {"count", "rank", "survival"} or objective in {"reg:gamma", "reg:tweedie", "reg:squaredlogerror"}:
        matrix.set_label(np.clip(np.abs(values).round() + 1, 1, 5))
    else:
        matrix.set_label(values)
    if kind == "rank":
        matrix.set_group([20] * (len(values) // 20))
    if objective == "survival:aft":
        matrix.set_float_info("label_lower_bound", np.abs(values) + 1)
        matrix.set_float_info("label_upper_bound", np.where(values > 3, np.inf, np.abs(values) + 2))


def same_floats(found: Any, expected: Any) -> bool:
    """Compare as 32-bit floats, bit for bit."""
    return np.asarray(found, dtype=np.float32).tobytes() == np.asarray(expected, dtype=np.float32).tobytes()


def to_lists(rows: np.ndarray) -> list[list[float | None]]:
    """Give rows as JSON has them, with null for missing."""
    return [[None if np.isnan(value) else float(value) for value in row] for row in rows]
