"""SageMaker XGBoost's own table of hyperparameters: names, types, ranges and what goes together.

The training container refuses an unknown name or a value out of range only after minutes of waiting; here it is refused
before any call. Names and meanings: https://docs.aws.amazon.com/sagemaker/latest/dg/xgboost_hyperparameters.html.
Ranges are those the container checks (aws/sagemaker-xgboost-container, algorithm_mode/hyperparameter_validation.py),
the same for 3.0-5 and 3.2-0. Left out on purpose: `_kfold`, `_num_cv_round` and `_tuning_objective_metric`, which write
several models or belong to tuning jobs.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from controller.spec.domains import Choice, Domain, Nested, Number, Value, integer
from controller.spec.findings import Finding, demand, refuse
from controller.spec.units import show

# Versions of the algorithm whose models the server can load.
VERSIONS = ("3.0-5", "3.2-0")

_SHARE = Number(0, 1, low_open=True)
_FLAG = integer(0, 1)
_TRUE_FALSE = Choice(("true", "false"))
_METRICS = (
    *("accuracy", "aft-nloglik", "auc", "aucpr", "balanced_accuracy", "cox-nloglik", "error", "f1", "f1_binary"),
    *("f1_macro", "gamma-deviance", "gamma-nloglik", "interval-regression-accuracy", "logloss", "mae", "map", "mape"),
    *("merror", "mlogloss", "mphe", "mse", "ndcg", "poisson-nloglik", "precision", "precision_macro"),
    *("precision_micro", "r2", "recall", "recall_macro", "recall_micro", "rmse", "rmsle", "tweedie-nloglik"),
)
_OBJECTIVES = (
    *("binary:hinge", "binary:logistic", "binary:logitraw", "count:poisson", "multi:softmax", "multi:softprob"),
    *("rank:map", "rank:ndcg", "rank:pairwise", "reg:absoluteerror", "reg:gamma", "reg:linear", "reg:logistic"),
    *("reg:pseudohubererror", "reg:squarederror", "reg:squaredlogerror", "reg:tweedie", "survival:aft", "survival:cox"),
)
_GROWERS = ("distcol", "grow_colmaker", "grow_histmaker")
_PRUNERS = ("grow_skmaker", "prune", "refresh", "sync")
_LINEAR = ("coord_descent", "shotgun")

TABLE: dict[str, Domain] = {
    "num_round": integer(1),
    "aft_loss_distribution": Choice(("normal", "logistic", "extreme")),
    "aft_loss_distribution_scale": Number(0),
    "alpha": Number(0),
    "base_score": Number(0),
    "booster": Choice(("gbtree", "gblinear", "dart")),
    "colsample_bylevel": _SHARE,
    "colsample_bynode": _SHARE,
    "colsample_bytree": _SHARE,
    "csv_weights": _FLAG,
    "deterministic_histogram": _TRUE_FALSE,
    "dsplit": Choice(("row", "col")),
    "early_stopping_rounds": integer(1),
    "eta": Number(0, 1),
    "eval_metric": Choice(_METRICS, many=True),
    "gamma": Number(0),
    "grow_policy": Choice(("depthwise", "lossguide")),
    "interaction_constraints": Nested("[[1, 2], [3, 4]]", depth=2),
    "lambda": Number(0),
    "lambda_bias": Number(0, 1),
    "max_bin": integer(0),
    "max_delta_step": Number(0),
    "max_depth": integer(0),
    "max_leaves": integer(0),
    "min_child_weight": Number(0),
    "monotone_constraints": Nested("(1, 0, -1)", depth=1, allowed=(-1, 0, 1)),
    "normalize_type": Choice(("tree", "forest")),
    "nthread": integer(1),
    "num_class": integer(2),
    "num_parallel_tree": integer(1),
    "objective": Choice(_OBJECTIVES),
    "one_drop": _FLAG,
    "predictor": Choice(("auto", "cpu_predictor", "gpu_predictor")),
    "prob_buffer_row": integer(1, low_open=True),
    "process_type": Choice(("default", "update")),
    "rate_drop": Number(0, 1),
    "refresh_leaf": _FLAG,
    "sample_type": Choice(("uniform", "weighted")),
    "sampling_method": Choice(("uniform", "gradient_based")),
    "save_model_on_termination": _TRUE_FALSE,
    "scale_pos_weight": Number(0, low_open=True),
    "seed": integer(-(2**31), 2**31 - 1, low_open=True, high_open=True),
    "sketch_eps": Number(0, 1, low_open=True, high_open=True),
    "skip_drop": Number(0, 1),
    "subsample": _SHARE,
    "tree_method": Choice(("auto", "exact", "approx", "hist", "gpu_hist")),
    "tweedie_variance_power": Number(1, 2, low_open=True, high_open=True),
    "updater": Choice((*_GROWERS, *_PRUNERS, *_LINEAR), many=True),
    "use_dask_gpu_training": _TRUE_FALSE,
    "verbosity": integer(0, 3),
}
ALIASES = {"learning_rate": "eta", "min_split_loss": "gamma", "reg_lambda": "lambda", "reg_alpha": "alpha"}


def _objective(given: Mapping[str, Value], *prefixes: str) -> bool:
    return str(given.get("objective", "")).startswith(prefixes)


def _metric(given: Mapping[str, Value], name: str) -> bool:
    return name in str(given.get("eval_metric", "")).split(",")


# What a hyperparameter needs from the others, beyond its own range: (name, whether it is met, message, hint).
_COMPANY: tuple[tuple[str, Callable[[Mapping[str, Value]], bool], str, str], ...] = (
    (
        "csv_weights",
        lambda given: str(given["csv_weights"]) != "1",
        "csv_weights would read the first feature as a weight",
        "leave it out",
    ),
    (
        "early_stopping_rounds",
        lambda given: "eval_metric" in given,
        "'early_stopping_rounds' needs 'eval_metric'",
        "XGBoost ignores it in silence otherwise",
    ),
    (
        "eval_metric",
        lambda given: "objective" in given,
        "'eval_metric' needs 'objective'",
        "the container checks one against the other",
    ),
    (
        "eval_metric",
        lambda given: not _metric(given, "auc") or _objective(given, "binary:", "rank:"),
        "metric 'auc' goes only with a binary: or rank: objective",
        "",
    ),
    (
        "eval_metric",
        lambda given: not _metric(given, "aft-nloglik") or _objective(given, "survival:aft"),
        "metric 'aft-nloglik' goes only with objective survival:aft",
        "",
    ),
    (
        "interaction_constraints",
        lambda given: given.get("tree_method") in ("exact", "hist", "approx"),
        "'interaction_constraints' needs tree_method exact, hist or approx",
        "",
    ),
    (
        "monotone_constraints",
        lambda given: given.get("tree_method") in ("exact", "hist"),
        "'monotone_constraints' needs tree_method exact or hist",
        "",
    ),
    ("num_class", lambda given: _objective(given, "multi:"), "'num_class' goes only with a multi: objective", ""),
    (
        "objective",
        lambda given: not _objective(given, "multi:") or "num_class" in given,
        "a multi: objective needs 'num_class'",
        "say how many classes there are",
    ),
)


def check(hyperparameters: Any) -> Mapping[str, Value]:
    """Return them as they are, or raise FindingsError with everything that training would refuse."""
    if not isinstance(hyperparameters, dict):
        raise refuse(f"hyperparameters must be a mapping, not {show(hyperparameters)}")
    demand((*_wrong_values(hyperparameters), *_wrong_company(hyperparameters)))
    return hyperparameters


def schema() -> dict[str, Any]:
    """Describe them as JSON Schema; what goes together is left to `check`."""
    properties = {name: domain.schema() for name, domain in TABLE.items()}
    aliases = {alias: properties[name] for alias, name in ALIASES.items()}
    return {
        "type": "object",
        "properties": {**properties, **aliases},
        "required": ["num_round"],
        "additionalProperties": False,
    }


def as_strings(hyperparameters: Mapping[str, Value]) -> dict[str, str]:
    """Write them as SageMaker takes them: every value a string, booleans in lower case."""
    return {
        name: str(value).lower() if isinstance(value, bool) else str(value) for name, value in hyperparameters.items()
    }


def _wrong_values(given: Mapping[str, Any]) -> Iterator[Finding]:
    for name, value in given.items():
        domain = TABLE.get(ALIASES.get(name, name))
        if domain is None:
            close = difflib.get_close_matches(name, (*TABLE, *ALIASES), 1, 0.6)
            hint = (
                f"did you mean '{close[0]}'?" if close else "the job would fail: it takes no other names than its own"
            )
            yield Finding(f"SageMaker's XGBoost has no hyperparameter '{name}'", hint, (name,), name=True)
        elif not domain.holds(value):
            yield Finding(f"hyperparameter '{name}' can't be {show(value)}", f"it takes {domain}", (name,))
        elif name in ALIASES and ALIASES[name] in given:
            yield Finding(f"hyperparameter '{name}' is another name for '{ALIASES[name]}'", "keep one of them", (name,))


def _wrong_company(given: Mapping[str, Any]) -> Iterator[Finding]:
    """Find what is right alone and wrong together."""
    if "num_round" not in given:
        yield Finding("hyperparameter 'num_round' is required", "say how many trees to grow")
    for name, fits, message, hint in _COMPANY:
        if name in given and not fits(given):
            yield Finding(message, hint, (name,))
    yield from _wrong_updater(given)


def _wrong_updater(given: Mapping[str, Value]) -> Iterator[Finding]:
    updaters = str(given["updater"]).split(",") if "updater" in given else []
    if given.get("booster") == "gblinear":
        if updaters and (len(updaters) > 1 or updaters[0] not in _LINEAR):
            yield Finding(f"booster gblinear takes one updater: {' or '.join(_LINEAR)}", path=("updater",))
    elif given.get("process_type") == "update":
        if not {*updaters} <= {"refresh", "prune"}:
            yield Finding("process_type update takes the updaters refresh and prune", path=("updater",))
    elif {*updaters} & {*_LINEAR}:
        yield Finding(f"updaters {' and '.join(_LINEAR)} go only with booster gblinear", path=("updater",))
    elif sum(updater in _GROWERS for updater in updaters) > 1:
        yield Finding(f"only one updater can grow trees: {', '.join(_GROWERS)}", path=("updater",))
