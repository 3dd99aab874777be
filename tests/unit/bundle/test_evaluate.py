"""What the evaluation says of a model, held against the library and against plain arithmetic. In this process."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import xgboost

from controller.bundle import evaluate
from controller.bundle.evaluate import UnsupportedModelError, measure

NAMES = ("a", "b", "c")


def as_matrix(booster: xgboost.Booster, canaries: list[dict[str, Any]]) -> xgboost.DMatrix:
    rows = [[np.nan if cell is None else cell for cell in canary["row"]] for canary in canaries]
    return xgboost.DMatrix(np.array(rows), feature_names=booster.feature_names)


def classes(rows: np.ndarray[Any, Any], count: int) -> np.ndarray[Any, Any]:
    """Turn the label into classes of about equal size."""
    return np.column_stack([np.argsort(np.argsort(rows[:, 0])) * count // len(rows), rows[:, 1:]])


def test_regression_metrics_are_what_arithmetic_says(training_data: Any) -> None:
    """The rmse and mae of each channel are those of the predictions, to float32's precision."""
    booster = training_data.train(training_data.rows(0))
    channels = {"train": training_data.rows(0), "test": training_data.rows(3)}
    found = measure(booster, NAMES, channels)["metrics"]
    for name, rows in channels.items():
        errors = booster.predict(xgboost.DMatrix(rows[:, 1:])) - rows[:, 0]
        assert found[name] == pytest.approx(
            {"rmse": np.sqrt(np.mean(errors**2)), "mae": np.mean(np.abs(errors))}, rel=1e-5
        )


def test_classifier_metrics_are_what_arithmetic_says(training_data: Any) -> None:
    """The logloss, error and auc follow from the predicted probabilities; labels of one class have no auc."""
    rows = classes(training_data.rows(0), 2)
    booster = training_data.train(rows, objective="binary:logistic")
    label, p = rows[:, 0], booster.predict(xgboost.DMatrix(rows[:, 1:]))
    wins = np.mean([(a > b) + (a == b) / 2 for a in p[label == 1] for b in p[label == 0]])
    logloss = -np.mean(np.where(label == 1, np.log(p), np.log(1 - p)))
    expected = {"logloss": logloss, "error": np.mean((p > 0.5) != label), "auc": wins}
    assert evaluate.score_rows(booster, "binary:logistic", rows) == pytest.approx(expected, rel=1e-5)
    with xgboost.config_context(verbosity=0):  # or it warns of the missing class
        assert set(evaluate.score_rows(booster, "binary:logistic", rows[label == 1])) == {"logloss", "error"}


@pytest.mark.parametrize(("objective", "outputs"), [("multi:softprob", 3), ("multi:softmax", 1)])
def test_several_classes(training_data: Any, objective: str, outputs: int) -> None:
    """With softprob it predicts a probability per class, softmax a class; both have merror and mlogloss."""
    rows = classes(training_data.rows(0), 3)
    found = measure(training_data.train(rows, objective=objective, num_class=3), NAMES, {"train": rows})
    assert (found["objective"], found["num_class"]) == (objective, 3)
    assert {len(canary["prediction"]) for canary in found["canaries"]} == {outputs}
    assert set(found["metrics"]["train"]) == {"mlogloss", "merror"}
    assert len(found["predictions"]) == (120 if outputs == 1 else 0)


@pytest.mark.parametrize("objective", ["rank:pairwise", "survival:cox"])
def test_an_objective_without_plain_metrics_has_none(training_data: Any, objective: str) -> None:
    """Rather no figure than one that means nothing."""
    rows = classes(training_data.rows(0), 2)
    assert measure(training_data.train(rows, objective=objective), NAMES, {"train": rows})["metrics"] == {"train": {}}


@pytest.mark.parametrize(
    "parameters", [{}, {"booster": "dart", "rate_drop": 0.5}, {"num_parallel_tree": 3, "subsample": 0.5}]
)
def test_canaries_are_what_the_library_predicts(training_data: Any, parameters: dict[str, Any]) -> None:
    """Each canary's prediction is exactly that of the library for its row."""
    booster = training_data.train(training_data.rows(0), **parameters)
    canaries = measure(booster, NAMES, {"train": training_data.rows(0), "test": training_data.rows(3)})["canaries"]
    expected = [canary["prediction"][0] for canary in canaries]
    assert booster.predict(as_matrix(booster, canaries)).tolist() == expected


def test_canaries_cover_missing_values_edges_and_the_range_of_predictions(training_data: Any) -> None:
    """Without any value, with holes, at and below thresholds, at the least and greatest values, over all
    predictions.
    """
    booster = training_data.train(training_data.rows(0))
    canaries = measure(booster, NAMES, {"test": training_data.rows(3)})["canaries"]
    rows = [tuple(canary["row"]) for canary in canaries]
    assert (None, None, None) in rows
    assert any(None in row and set(row) != {None} for row in rows)
    thresholds = evaluate.find_thresholds(booster, 3)
    assert tuple(thresholds) in rows
    assert any(all(0 < at - x < 1e-5 for x, at in zip(row, thresholds, strict=True)) for row in rows if None not in row)
    assert len({canary["prediction"][0] for canary in canaries}) >= 6
    inputs = training_data.rows(3)[:, 1:]
    assert {tuple(np.nanmin(inputs, axis=0)), tuple(np.nanmax(inputs, axis=0))} <= set(rows)


def test_a_threshold_belongs_to_its_feature(training_data: Any) -> None:
    """A stump on the second feature gives that one its threshold, and the others none."""
    rows = training_data.rows(0)
    rows[:, 0] = rows[:, 2] > 0.25
    found = evaluate.find_thresholds(training_data.train(rows, rounds=1, max_depth=1), 3)
    assert np.isnan(found[[0, 2]]).all()
    assert found[1] == pytest.approx(0.25, abs=0.1)


def test_categorical_features_have_categorical_canaries(training_data: Any) -> None:
    """A categorical feature has no threshold, and its canaries hold codes and nothing between them."""
    rows = training_data.rows(0)
    rows[:, 1] = np.arange(len(rows)) % 4
    rows[:, 0] = rows[:, 1] == 2
    matrix = xgboost.DMatrix(rows[:, 1:], rows[:, 0], feature_types=["c", "q", "q"], enable_categorical=True)
    booster = xgboost.train({"max_depth": 2, "nthread": 1}, matrix, 3)
    found = measure(booster, NAMES, {"train": rows})
    assert {canary["row"][0] for canary in found["canaries"]} <= {None, 0, 1, 2, 3}
    assert found["metrics"]["train"]["rmse"] < 0.5


def test_a_model_without_rows_or_trees_has_canaries_all_the_same(training_data: Any) -> None:
    """A model trained elsewhere comes without data, and one of zero rounds has no thresholds."""
    assert len(measure(training_data.train(training_data.rows(0)), NAMES, {})["canaries"]) == 3
    assert measure(training_data.train(training_data.rows(0), rounds=0), NAMES, {})["canaries"]


def test_an_early_stopped_model_is_cut_to_its_best_iteration(training_data: Any) -> None:
    """What is served and measured is the best iteration, and the rest is gone."""
    booster = training_data.train(training_data.rows(0), rounds=9)
    booster.set_attr(best_iteration="3")
    matrix = xgboost.DMatrix(training_data.rows(3)[:, 1:])
    cut, whole = evaluate.load_booster(bytes(booster.save_raw("ubj")))
    assert not whole
    assert cut.num_boosted_rounds() == 4
    assert cut.predict(matrix).tolist() == booster.predict(matrix, iteration_range=(0, 4)).tolist()
    booster.set_attr(best_iteration=None)
    assert evaluate.load_booster(bytes(booster.save_raw("ubj")))[1]


@pytest.mark.parametrize(
    ("parameters", "names", "reason"),
    [
        ({}, ("a", "b"), "it has 3 features, and 2 names are given: a, b"),
        ({"booster": "gblinear"}, NAMES, "its booster is gblinear"),
        ({"objective": "reg:quantileerror", "quantile_alpha": [0.1, 0.9]}, NAMES, "it predicts 2 numbers for a row"),
    ],
)
def test_unsupported_models_are_refused(
    training_data: Any, parameters: dict[str, Any], names: tuple[str, ...], reason: str
) -> None:
    """A wrong number of names, and models that the server can't serve, are told at once."""
    with pytest.raises(UnsupportedModelError, match=reason):
        measure(training_data.train(training_data.rows(0), **parameters), names, {})


def test_names_that_the_model_carries_must_agree(training_data: Any) -> None:
    """A model that knows its features' names is held to them, in their order."""
    booster = training_data.train(training_data.rows(0))
    booster.feature_names = ["a", "c", "b"]
    assert measure(booster, ("a", "c", "b"), {"test": training_data.rows(3)})["metrics"]["test"]
    with pytest.raises(UnsupportedModelError, match="its feature 2 is named 'c', and 'b' is given"):
        measure(booster, NAMES, {})
