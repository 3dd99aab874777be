"""The hyperparameters of the built-in XGBoost image."""

from __future__ import annotations

import pytest

from embedded_aws.training.hyperparameters import UserError, parse


def test_strings_become_values() -> None:
    """Numbers, lists and words are parsed from strings. An alias counts as the name that it stands for."""
    given = {
        "num_round": "100",
        "eta": "0.3",
        "eval_metric": "mae, rmse",
        "objective": "reg:squarederror",
        "reg_alpha": "3",
    }
    assert parse(given) == {
        "num_round": 100,
        "eta": 0.3,
        "eval_metric": ["mae", "rmse"],
        "objective": "reg:squarederror",
        "alpha": 3.0,
    }


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({}, "num_round"),
        ({"num_round": "0"}, "num_round"),
        ({"num_round": "1.5"}, "num_round"),
        ({"num_round": "1", "n_estimators": "5"}, "Extraneous hyperparameter found: n_estimators"),
        ({"num_round": "1", "subsample": "0"}, "subsample"),
        ({"num_round": "1", "colsample_bytree": "1.1"}, "colsample_bytree"),
        ({"num_round": "1", "alpha": "-1"}, "alpha"),
        ({"num_round": "1", "booster": "forest"}, "booster"),
        ({"num_round": "1", "objective": "reg:mse"}, "objective"),
        ({"num_round": "1", "objective": "multi:softmax"}, "num_class"),
        ({"num_round": "1", "monotone_constraints": "(1,"}, "monotone_constraints"),
        ({"num_round": "1", "save_model_on_termination": "True"}, "save_model_on_termination"),
    ],
)
def test_invalid_hyperparameters_are_refused(given, words) -> None:
    """Each invalid name or value fails the job, and the message names it."""
    with pytest.raises(UserError, match=words):
        parse(given)
