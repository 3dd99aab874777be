"""The algorithm's table: what training would refuse is refused here."""

from __future__ import annotations

from typing import Any

import pytest

from controller.spec import hyperparameters
from controller.spec.findings import FindingsError

RIGHT: list[dict[str, Any]] = [
    {"objective": "reg:squarederror", "max_depth": 6, "eta": 0.3, "alpha": 3, "colsample_bytree": 0.7},
    {"eta": "0.3", "max_depth": "6", "subsample": 1},
    {"learning_rate": 0.1, "reg_lambda": 0, "reg_alpha": 1, "min_split_loss": 2},
    {"objective": "reg:squarederror", "eval_metric": "rmse,mae", "early_stopping_rounds": 5},
    {"objective": "binary:logistic", "eval_metric": "auc,error@0.7"},
    {"objective": "multi:softmax", "num_class": 3},
    {"tree_method": "hist", "monotone_constraints": "(1, 0, -1)", "interaction_constraints": "[[1, 2], [3]]"},
    {"deterministic_histogram": True, "save_model_on_termination": "false"},
    {"booster": "gblinear", "updater": "shotgun", "lambda_bias": 0},
    {"process_type": "update", "updater": "refresh,prune", "refresh_leaf": 0},
    {"seed": -5, "verbosity": 3, "csv_weights": 0, "max_leaves": 0},
]


@pytest.mark.parametrize("given", RIGHT)
def test_valid_hyperparameters_are_accepted(given: dict[str, Any]) -> None:
    """Numbers may be text, as in SageMaker's API; aliases count as what they stand for."""
    assert hyperparameters.validate_hyperparameters({"num_round": 100, **given}) == {"num_round": 100, **given}


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"eta": 1.1}, "hyperparameter 'eta' can't be 1.1 (it takes a number in [0, 1])"),
    ({"learning_rate": 2}, "hyperparameter 'learning_rate' can't be 2 (it takes a number in [0, 1])"),
    ({"subsample": 0}, "hyperparameter 'subsample' can't be 0 (it takes a number in (0, 1])"),
    ({"max_depth": 6.0}, "hyperparameter 'max_depth' can't be 6.0 (it takes an integer of at least 0)"),
    ({"max_depth": True}, "hyperparameter 'max_depth' can't be true (it takes an integer of at least 0)"),
    ({"max_depth": None}, "hyperparameter 'max_depth' can't be null (it takes an integer of at least 0)"),
    ({"alpha": float("nan")}, "hyperparameter 'alpha' can't be nan (it takes a number of at least 0)"),
    ({"booster": "gbforest"}, "hyperparameter 'booster' can't be 'gbforest' (it takes one of gbtree, gblinear, dart)"),
    ({"scale_pos_weight": 0}, "hyperparameter 'scale_pos_weight' can't be 0 (it takes a number above 0)"),
    (
        {"tree_method": "hist", "monotone_constraints": "(1, 2)"},
        "hyperparameter 'monotone_constraints' can't be '(1, 2)' (it takes text like '(1, 0, -1)')",
    ),
    ({"monotone_constraints": "(1, 0)"}, "'monotone_constraints' needs tree_method exact or hist ()"),
    ({"eta": 1, "learning_rate": 1}, "hyperparameter 'learning_rate' is another name for 'eta' (keep one of them)"),
    ({"_kfold": 5}, "SageMaker's XGBoost has no hyperparameter '_kfold' (the job would fail: it takes no other names than its own)"),
    ({"n_estimators": 5}, "SageMaker's XGBoost has no hyperparameter 'n_estimators' (the job would fail: it takes no other names than its own)"),
    ({"objective": "multi:softprob"}, "a multi: objective needs 'num_class' (say how many classes there are)"),
    ({"num_class": 3}, "'num_class' goes only with a multi: objective ()"),
    ({"early_stopping_rounds": 5}, "'early_stopping_rounds' needs 'eval_metric' (XGBoost ignores it in silence otherwise)"),
    ({"eval_metric": "rmse"}, "'eval_metric' needs 'objective' (the container checks one against the other)"),
    (
        {"objective": "reg:squarederror", "eval_metric": "rmse,auc"},
        "metric 'auc' goes only with a binary: or rank: objective ()",
    ),
    ({"csv_weights": 1}, "csv_weights would read the first feature as a weight (leave it out)"),
    ({"updater": "shotgun"}, "updaters coord_descent and shotgun go only with booster gblinear ()"),
    ({"updater": "grow_colmaker,grow_histmaker"}, "only one updater can grow trees: distcol, grow_colmaker, grow_histmaker ()"),
    ({"booster": "gblinear", "updater": "prune"}, "booster gblinear takes one updater: coord_descent or shotgun ()"),
    ({"process_type": "update", "updater": "sync"}, "process_type update takes the updaters refresh and prune ()"),
]  # fmt: skip


@pytest.mark.parametrize(("given", "expected"), WRONG)
def test_invalid_hyperparameters_are_refused(given: dict[str, Any], expected: str) -> None:
    """One mistake, one finding, with what is taken instead."""
    with pytest.raises(FindingsError) as caught:
        hyperparameters.validate_hyperparameters({"num_round": 1, **given})
    assert [f"{finding.message} ({finding.hint})" for finding in caught.value.findings] == [expected]


def test_values_are_converted_to_text() -> None:
    """Booleans in lower case, numbers as Python writes them, which the container can read back."""
    given: dict[str, Any] = {"num_round": 100, "eta": 0.3, "deterministic_histogram": True, "objective": "reg:gamma"}
    assert hyperparameters.to_strings(given) == {
        "num_round": "100",
        "eta": "0.3",
        "deterministic_histogram": "true",
        "objective": "reg:gamma",
    }


def test_hyperparameter_tables_agree() -> None:
    """Aliases stand for something, and no alias hides a name."""
    assert set(hyperparameters.ALIASES.values()) <= set(hyperparameters.HYPERPARAMETER_DOMAINS)
    assert not set(hyperparameters.ALIASES) & set(hyperparameters.HYPERPARAMETER_DOMAINS)
