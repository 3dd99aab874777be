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

from controller.spec.domains import Choice, Domain, HyperparameterValue, NestedList, Number, integer_range
from controller.spec.findings import Finding, finding_error, raise_findings
from controller.spec.units import quote_value

# Versions of the algorithm whose models the server can load.
SUPPORTED_VERSIONS = ("3.0-5", "3.2-0")

_FRACTION = Number(0, 1, low_open=True)
_FLAG = integer_range(0, 1)
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

HYPERPARAMETER_DOMAINS: dict[str, Domain] = {
    "num_round": integer_range(1),
    "aft_loss_distribution": Choice(("normal", "logistic", "extreme")),
    "aft_loss_distribution_scale": Number(0),
    "alpha": Number(0),
    "base_score": Number(0),
    "booster": Choice(("gbtree", "gblinear", "dart")),
    "colsample_bylevel": _FRACTION,
    "colsample_bynode": _FRACTION,
    "colsample_bytree": _FRACTION,
    "csv_weights": _FLAG,
    "deterministic_histogram": _TRUE_FALSE,
    "dsplit": Choice(("row", "col")),
    "early_stopping_rounds": integer_range(1),
    "eta": Number(0, 1),
    "eval_metric": Choice(_METRICS, multiple=True),
    "gamma": Number(0),
    "grow_policy": Choice(("depthwise", "lossguide")),
    "interaction_constraints": NestedList("[[1, 2], [3, 4]]", depth=2),
    "lambda": Number(0),
    "lambda_bias": Number(0, 1),
    "max_bin": integer_range(0),
    "max_delta_step": Number(0),
    "max_depth": integer_range(0),
    "max_leaves": integer_range(0),
    "min_child_weight": Number(0),
    "monotone_constraints": NestedList("(1, 0, -1)", depth=1, allowed=(-1, 0, 1)),
    "normalize_type": Choice(("tree", "forest")),
    "nthread": integer_range(1),
    "num_class": integer_range(2),
    "num_parallel_tree": integer_range(1),
    "objective": Choice(_OBJECTIVES),
    "one_drop": _FLAG,
    "predictor": Choice(("auto", "cpu_predictor", "gpu_predictor")),
    "prob_buffer_row": integer_range(1, low_open=True),
    "process_type": Choice(("default", "update")),
    "rate_drop": Number(0, 1),
    "refresh_leaf": _FLAG,
    "sample_type": Choice(("uniform", "weighted")),
    "sampling_method": Choice(("uniform", "gradient_based")),
    "save_model_on_termination": _TRUE_FALSE,
    "scale_pos_weight": Number(0, low_open=True),
    "seed": integer_range(-(2**31), 2**31 - 1, low_open=True, high_open=True),
    "sketch_eps": Number(0, 1, low_open=True, high_open=True),
    "skip_drop": Number(0, 1),
    "subsample": _FRACTION,
    "tree_method": Choice(("auto", "exact", "approx", "hist", "gpu_hist")),
    "tweedie_variance_power": Number(1, 2, low_open=True, high_open=True),
    "updater": Choice((*_GROWERS, *_PRUNERS, *_LINEAR), multiple=True),
    "use_dask_gpu_training": _TRUE_FALSE,
    "verbosity": integer_range(0, 3),
}
ALIASES = {"learning_rate": "eta", "min_split_loss": "gamma", "reg_lambda": "lambda", "reg_alpha": "alpha"}


def _has_objective(given: Mapping[str, HyperparameterValue], *prefixes: str) -> bool:
    return str(given.get("objective", "")).startswith(prefixes)


def _has_metric(given: Mapping[str, HyperparameterValue], name: str) -> bool:
    return name in str(given.get("eval_metric", "")).split(",")


# What a hyperparameter needs from the others, beyond its own range: (name, whether it is met, message, hint).
_COMBINATION_RULES: tuple[tuple[str, Callable[[Mapping[str, HyperparameterValue]], bool], str, str], ...] = (
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
        lambda given: not _has_metric(given, "auc") or _has_objective(given, "binary:", "rank:"),
        "metric 'auc' goes only with a binary: or rank: objective",
        "",
    ),
    (
        "eval_metric",
        lambda given: not _has_metric(given, "aft-nloglik") or _has_objective(given, "survival:aft"),
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
    ("num_class", lambda given: _has_objective(given, "multi:"), "'num_class' goes only with a multi: objective", ""),
    (
        "objective",
        lambda given: not _has_objective(given, "multi:") or "num_class" in given,
        "a multi: objective needs 'num_class'",
        "say how many classes there are",
    ),
)


def validate_hyperparameters(hyperparameters: Any) -> Mapping[str, HyperparameterValue]:
    """Return them as they are, or raise FindingsError with everything that training would refuse."""
    if not isinstance(hyperparameters, dict):
        raise finding_error(f"hyperparameters must be a mapping, not {quote_value(hyperparameters)}")
    raise_findings((*_invalid_values(hyperparameters), *_invalid_combinations(hyperparameters)))
    return hyperparameters


def json_schema() -> dict[str, Any]:
    """Describe them as JSON Schema; what goes together is left to `check`."""
    properties = {name: domain.json_schema() for name, domain in HYPERPARAMETER_DOMAINS.items()}
    aliases = {alias: properties[name] for alias, name in ALIASES.items()}
    return {
        "type": "object",
        "properties": {**properties, **aliases},
        "required": ["num_round"],
        "additionalProperties": False,
    }


def to_strings(hyperparameters: Mapping[str, HyperparameterValue]) -> dict[str, str]:
    """Write them as SageMaker takes them: every value a string, booleans in lower case."""
    return {
        name: str(value).lower() if isinstance(value, bool) else str(value) for name, value in hyperparameters.items()
    }


def _invalid_values(given: Mapping[str, Any]) -> Iterator[Finding]:
    for name, value in given.items():
        domain = HYPERPARAMETER_DOMAINS.get(ALIASES.get(name, name))
        if domain is None:
            close = difflib.get_close_matches(name, (*HYPERPARAMETER_DOMAINS, *ALIASES), 1, 0.6)
            hint = (
                f"did you mean '{close[0]}'?" if close else "the job would fail: it takes no other names than its own"
            )
            yield Finding(f"SageMaker's XGBoost has no hyperparameter '{name}'", hint, (name,), at_key=True)
        elif not domain.accepts(value):
            yield Finding(f"hyperparameter '{name}' can't be {quote_value(value)}", f"it takes {domain}", (name,))
        elif name in ALIASES and ALIASES[name] in given:
            yield Finding(f"hyperparameter '{name}' is another name for '{ALIASES[name]}'", "keep one of them", (name,))


def _invalid_combinations(given: Mapping[str, Any]) -> Iterator[Finding]:
    """Find what is right alone and wrong together."""
    if "num_round" not in given:
        yield Finding("hyperparameter 'num_round' is required", "say how many trees to grow")
    for name, fits, message, hint in _COMBINATION_RULES:
        if name in given and not fits(given):
            yield Finding(message, hint, (name,))
    yield from _invalid_updaters(given)


def _invalid_updaters(given: Mapping[str, HyperparameterValue]) -> Iterator[Finding]:
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
