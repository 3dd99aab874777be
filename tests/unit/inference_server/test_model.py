"""A bundle is refused, with the reason, whenever its two files don't belong together or would answer wrongly."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from inference_server import model as models
from inference_server.errors import StartupError
from inference_server.manifest import Canary


def test_valid_bundles_are_loaded(train_bundle: Any) -> None:
    """Regression, binary, several classes, counts, dart and categories: manifest and model agree, canaries hold."""
    for objective in ("reg:squarederror", "binary:logistic", "multi:softprob", "multi:softmax", "count:poisson"):
        bundle = train_bundle(objective)
        assert models.load(bundle.directory).manifest == bundle.manifest
    models.load(train_bundle("reg:squarederror", booster="dart", rate_drop=0.3).directory)
    models.load(train_bundle("reg:squarederror", categorical=True).directory)


def test_wrong_canaries_are_rejected(housing_bundle: Any, tmp_path: Path) -> None:
    """A model that predicts something else than its trainer did never takes traffic; the last bits may differ."""
    canary = housing_bundle.manifest.canaries[0]
    for factor in (1.001, 0.99, -1):
        wrong = replace(canary, prediction=(canary.prediction[0] * factor,))
        directory = housing_bundle.write(tmp_path, replace(housing_bundle.manifest, canaries=(canary, wrong)))
        with pytest.raises(StartupError, match="canary row 1: expected"):
            models.load(directory)
    close = replace(canary, prediction=(canary.prediction[0] * (1 + 1e-7),))
    models.load(housing_bundle.write(tmp_path, replace(housing_bundle.manifest, canaries=(close,))))


def test_every_class_of_a_canary_is_checked(train_bundle: Any, tmp_path: Path) -> None:
    """One class's probability off is enough."""
    bundle = train_bundle("multi:softprob")
    row, (first, second, third) = bundle.manifest.canaries[0].row, bundle.manifest.canaries[0].prediction
    wrong = Canary(row, (first, third, second))
    with pytest.raises(StartupError, match="canary row 0"):
        models.load(bundle.write(tmp_path, replace(bundle.manifest, canaries=(wrong,))))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"xgboost_version": "3.9.0"}, "newer than this server's"),
        ({"objective": "binary:logistic"}, "objective: the manifest says binary:logistic"),
        ({"objective": "multi:softprob", "num_class": 3}, "objective: the manifest says"),
        ({"canaries": (Canary((1e39,) * 8, (1.0,)),)}, r"canaries\[0\].row.*finite number"),
    ],
)
def test_manifest_that_contradicts_the_model_is_rejected(
    housing_bundle: Any, tmp_path: Path, change: Any, words: str
) -> None:
    """What the manifest promises and the model says of itself must agree."""
    manifest = replace(housing_bundle.manifest, **{"canaries": ()} | change)
    with pytest.raises(StartupError, match=words):
        models.load(housing_bundle.write(tmp_path, manifest))


def test_features_must_match_the_model_in_order(housing_bundle: Any, tmp_path: Path) -> None:
    """One feature fewer, or two in the wrong order, would give every row a wrong answer."""
    features = housing_bundle.manifest.features
    for wrong, words in ((features[:7], "number of features: the manifest says 7"), (features[::-1], "feature names")):
        with pytest.raises(StartupError, match=words):
            models.load(housing_bundle.write(tmp_path, replace(housing_bundle.manifest, canaries=(), features=wrong)))


def test_damaged_or_missing_files_are_rejected(housing_bundle: Any, tmp_path: Path) -> None:
    """A model that is not the described one, no model, no manifest, a manifest that is none."""
    directory = housing_bundle.write(tmp_path, model=b"{L")
    with pytest.raises(StartupError, match="is not the file that the manifest describes"):
        models.load(directory)
    (directory / "model.ubj").unlink()
    with pytest.raises(StartupError, match=r"model\.ubj: No such file"):
        models.load(directory)
    (directory / "manifest.json").write_text("{}")
    with pytest.raises(StartupError, match=r"manifest\.json: .*is missing"):
        models.load(directory)
