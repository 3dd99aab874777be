"""The hyperparameters of the built-in XGBoost image: names, types and ranges. All values are given as strings.

Source: the image's own validation, aws/sagemaker-xgboost-container `algorithm_mode/hyperparameter_validation.py`, and
https://docs.aws.amazon.com/sagemaker/latest/dg/xgboost_hyperparameters.html. Standard library only: this runs in the
training process.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping
from math import inf
from typing import Any


class UserError(Exception):
    """An error in the training job's input. The message is addressed to the job's author."""


def _number(kind: Callable[[str], float], low: float, high: float, *, open_low: bool = False) -> Callable[[str], float]:
    def parse(text: str) -> float:
        value = kind(text)
        if not (low < value if open_low else low <= value) or value > high:
            bracket = "(" if open_low else "["
            raise ValueError(f"{text} is outside {bracket}{low}, {high}]")
        return value

    return parse


def _integer(low: float = -inf, high: float = inf) -> Callable[[str], float]:
    return _number(int, low, high)


def _real(low: float = -inf, high: float = inf, *, open_low: bool = False) -> Callable[[str], float]:
    return _number(float, low, high, open_low=open_low)


def _choice(*values: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text not in values:
            raise ValueError(f"{text} is not one of {', '.join(values)}")
        return text

    return parse


def _name_list(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _literal(text: str) -> str:
    ast.literal_eval(text)
    return text


_FRACTION = _real(0, 1, open_low=True)
_NON_NEGATIVE = _real(0)
_FLAG = _integer(0, 1)
_BOOLEAN = _choice("true", "false")
_OBJECTIVES = (
    "binary:logistic",
    "binary:logitraw",
    "binary:hinge",
    "count:poisson",
    "multi:softmax",
    "multi:softprob",
    "rank:pairwise",
    "rank:ndcg",
    "rank:map",
    "reg:linear",
    "reg:squarederror",
    "reg:logistic",
    "reg:gamma",
    "reg:pseudohubererror",
    "reg:squaredlogerror",
    "reg:absoluteerror",
    "reg:tweedie",
    "survival:aft",
    "survival:cox",
)

HYPERPARAMETERS: Mapping[str, Callable[[str], Any]] = {
    "num_round": _integer(1),
    "objective": _choice(*_OBJECTIVES),
    "eval_metric": _name_list,
    "early_stopping_rounds": _integer(1),
    "num_class": _integer(2),
    "base_score": _NON_NEGATIVE,
    "booster": _choice("gbtree", "gblinear", "dart"),
    "eta": _real(0, 1),
    "gamma": _NON_NEGATIVE,
    "max_depth": _integer(0),
    "min_child_weight": _NON_NEGATIVE,
    "max_delta_step": _NON_NEGATIVE,
    "subsample": _FRACTION,
    "colsample_bytree": _FRACTION,
    "colsample_bylevel": _FRACTION,
    "colsample_bynode": _FRACTION,
    "lambda": _NON_NEGATIVE,
    "alpha": _NON_NEGATIVE,
    "lambda_bias": _real(0, 1),
    "tree_method": _choice("auto", "exact", "approx", "hist", "gpu_hist"),
    "sketch_eps": _FRACTION,
    "scale_pos_weight": _real(0, open_low=True),
    "updater": _name_list,
    "dsplit": _choice("row", "col"),
    "refresh_leaf": _FLAG,
    "process_type": _choice("default", "update"),
    "grow_policy": _choice("depthwise", "lossguide"),
    "max_leaves": _integer(0),
    "max_bin": _integer(0),
    "predictor": _choice("auto", "cpu_predictor", "gpu_predictor"),
    "monotone_constraints": _literal,
    "interaction_constraints": _literal,
    "sample_type": _choice("uniform", "weighted"),
    "normalize_type": _choice("tree", "forest"),
    "rate_drop": _real(0, 1),
    "one_drop": _FLAG,
    "skip_drop": _real(0, 1),
    "tweedie_variance_power": _real(1, 2, open_low=True),
    "num_parallel_tree": _integer(1),
    "seed": _integer(-(2**31) + 1, 2**31 - 2),
    "nthread": _integer(1),
    "verbosity": _integer(0, 3),
    "csv_weights": _FLAG,
    "save_model_on_termination": _BOOLEAN,
    "aft_loss_distribution": _choice("normal", "logistic", "extreme"),
    "aft_loss_distribution_scale": _NON_NEGATIVE,
    "deterministic_histogram": _BOOLEAN,
    "sampling_method": _choice("uniform", "gradient_based"),
    "prob_buffer_row": _real(1, open_low=True),
    "use_dask_gpu_training": _BOOLEAN,
}
_ALIASES = {"learning_rate": "eta", "min_split_loss": "gamma", "reg_lambda": "lambda", "reg_alpha": "alpha"}
MAXIMIZED = frozenset({"auc", "aucpr", "map", "ndcg"})


def parse(given: Mapping[str, str]) -> dict[str, Any]:
    """Parse the strings into values. Raises UserError for an unknown name, a missing num_round or an invalid value."""
    named = {_ALIASES.get(name, name): text for name, text in given.items()}
    if unknown := sorted(named.keys() - HYPERPARAMETERS.keys()):
        raise UserError(f"Extraneous hyperparameter found: {', '.join(unknown)}")
    if "num_round" not in named:
        raise UserError("Missing required hyperparameter: num_round")
    values: dict[str, Any] = {}
    for name, text in named.items():
        try:
            values[name] = HYPERPARAMETERS[name](text)
        except (ValueError, SyntaxError) as error:
            raise UserError(f"Hyperparameter {name}: could not use {text!r}: {error}") from error
    if values.get("objective", "").startswith("multi:") and "num_class" not in values:
        raise UserError("Hyperparameter num_class is required for multi-classification")
    return values
