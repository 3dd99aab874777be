"""Rows, channels and models that are made in a moment, as SageMaker's XGBoost would read and write them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import xgboost
from numpy.typing import NDArray

from controller.bundle import Bundle, XgboostModel, build_bundle
from controller.bundle.xgboost_model import identify_model

Rows = NDArray[np.float64]


class TrainingData:
    """Makes data of three features, the last with missing values, and models of it."""

    names = ("a", "b", "c")

    def rows(self, seed: int, count: int = 120) -> Rows:
        """Make rows, the label first."""
        random = np.random.default_rng(seed)
        inputs = np.round(random.normal(size=(count, 3)), 3)
        label = np.round(3 * inputs[:, 0] - inputs[:, 1] ** 2 + random.normal(scale=0.1, size=count), 3)
        inputs[random.random(count) < 0.1, 2] = np.nan
        return np.column_stack([label, inputs])

    def channel(self, rows: Rows) -> bytes:
        """Write rows as a channel: no header, empty for missing."""
        return "".join(",".join("" if np.isnan(x) else repr(x) for x in row) + "\n" for row in rows.tolist()).encode()

    def channels(self) -> Mapping[str, bytes]:
        """The rows that `model` was trained on, and others held out."""
        return {name: self.channel(self.rows(seed)) for seed, name in enumerate(("train", "validation", "test"))}

    def train(self, rows: Rows, rounds: int = 5, **parameters: Any) -> xgboost.Booster:
        """Train on one thread, without a word."""
        matrix = xgboost.DMatrix(rows[:, 1:], label=rows[:, 0])
        return xgboost.train({"max_depth": 3, "nthread": 1, "verbosity": 0, **parameters}, matrix, rounds)

    def save(self, booster: xgboost.Booster, kind: str = "ubj") -> XgboostModel:
        """Save and recognise a model."""
        return identify_model(bytes(booster.save_raw(kind)))

    def load(self, model: bytes) -> xgboost.Booster:
        """Load a model as a server's library would."""
        booster = xgboost.Booster()
        booster.load_model(bytearray(model))
        return booster


@pytest.fixture(scope="session")
def training_data() -> TrainingData:
    """The maker of rows and models."""
    return TrainingData()


@pytest.fixture(scope="session")
def model(training_data: TrainingData) -> XgboostModel:
    """A regression of the lab's train channel."""
    return training_data.save(training_data.train(training_data.rows(0), objective="reg:squarederror"))


@pytest.fixture(scope="session")
def bundle(training_data: TrainingData, model: XgboostModel) -> Bundle:
    """A bundle of `model`, measured on all three channels."""
    lineage = {"data": "0" * 64, "commit": "abc"}
    return build_bundle(
        model, name="m", features=training_data.names, target="y", channels=training_data.channels(), lineage=lineage
    )
