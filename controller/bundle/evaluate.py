"""A separate program: load one model with XGBoost, measure it, and choose its canary rows.

It runs apart from the controller because a model is untrusted input to a large C++ library, and because numpy and
XGBoost take time and memory that the controller shouldn't pay. So it imports nothing of the controller, sees no
environment variables, and communicates through one directory:

    request.json   in    {"format": "ubj" | "json", "features": [name, …], "channels": [name, …], "seconds": limit}
    model          in    the model's bytes
    NAME.csv       in    for each channel: label first, no header
    model.ubj      out   the model to serve
    result.json    out   what `measure` returns, or {"error": reason}
"""

from __future__ import annotations

import json
import resource
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xgboost
from numpy.typing import NDArray

Matrix = NDArray[np.float64]

# XGBoost's own metrics that are meaningful for an objective: the first prefix that fits decides.
METRICS_BY_OBJECTIVE_PREFIX: Sequence[tuple[str, tuple[str, ...]]] = (
    ("binary:logistic", ("logloss", "error", "auc")),
    ("binary:logitraw", ("auc",)),
    ("binary:hinge", ("error",)),
    ("multi:", ("mlogloss", "merror")),
    ("reg:", ("rmse", "mae")),
    ("count:", ("rmse", "mae")),
)
# The channels from which canary rows are taken, in this order: preferably rows that the model wasn't fitted to.
CANARY_CHANNELS = ("test", "validation", "train")
REAL_CANARY_ROWS = 5
THRESHOLD_TREES = 8
MAX_FLOAT32 = np.finfo(np.float32).max
MEMORY_LIMIT = 8 * 2**30


class UnsupportedModelError(Exception):
    """Raised if the model can't be measured or served; the message says why."""


def measure(booster: xgboost.Booster, names: Sequence[str], channels: Mapping[str, Matrix]) -> dict[str, Any]:
    """Return what the manifest says of the model: objective, classes, metrics per channel, canaries, predictions.

    A channel is a matrix with the label in its first column, NaN for missing. `predictions` are those for the train
    channel's rows, empty if a prediction is more than one number. Raises UnsupportedModelError, or XGBoostError.
    """
    learner = json.loads(booster.save_config())["learner"]
    objective, kind = learner["objective"]["name"], learner["gradient_booster"]["name"]
    classes = int(learner["learner_model_param"]["num_class"])
    if kind not in {"gbtree", "dart"}:
        raise UnsupportedModelError(f"its booster is {kind}, and only trees (gbtree, dart) are served")
    _check_names(booster, names)
    rows = choose_canary_rows(booster, len(names), next((channels[c] for c in CANARY_CHANNELS if c in channels), None))
    expected = predict(booster, rows)
    if expected.shape[1] != (classes if objective == "multi:softprob" else 1):
        raise UnsupportedModelError(
            f"it predicts {expected.shape[1]} numbers for a row, and {objective} should give one"
        )
    single = expected.shape[1] == 1 and "train" in channels
    return {
        "objective": objective,
        "num_class": classes,
        "metrics": {name: score_rows(booster, objective, rows) for name, rows in channels.items()},
        "canaries": [
            {"row": [None if np.isnan(cell) else cell for cell in row], "prediction": prediction}
            for row, prediction in zip(rows.tolist(), expected.tolist(), strict=True)
            if np.isfinite(prediction).all()
        ],
        "predictions": predict(booster, channels["train"][:, 1:])[:, 0].tolist() if single else [],
    }


def score_rows(booster: xgboost.Booster, objective: str, rows: Matrix) -> dict[str, float]:
    """Return XGBoost's metrics for the rows, without those that are undefined, such as the AUC of one class."""
    names = next((names for prefix, names in METRICS_BY_OBJECTIVE_PREFIX if objective.startswith(prefix)), ())
    if not names:
        return {}
    booster.set_param([("disable_default_eval_metric", "1"), *(("eval_metric", name) for name in names)])
    # The result is a round and then NAME:VALUE for each metric, including the objective's own, separated by tabs.
    scores = booster.eval_set([(to_dmatrix(booster, rows[:, 1:], rows[:, 0]), "x")]).split("\t")[1:]
    values = {name.removeprefix("x-"): float(value) for name, _, value in (score.rpartition(":") for score in scores)}
    return {name: values[name] for name in names if np.isfinite(values[name])}


def choose_canary_rows(booster: xgboost.Booster, width: int, rows: Matrix | None) -> Matrix:
    """Return rows for which a wrongly read model would predict wrongly.

    They are real rows from the lowest to the highest prediction; the lowest and highest value of every feature at once;
    rows with missing values; and rows exactly at, and just below, the thresholds of the first trees, where `<` and `<=`
    differ.
    """
    at = find_thresholds(booster, width)
    below = np.nextafter(at.astype(np.float32), -MAX_FLOAT32).astype(np.float64)
    # Zero is a category of categorical features.
    chosen = [np.full(width, np.nan), np.nan_to_num(at), np.nan_to_num(below)]
    if rows is not None:
        inputs = rows[:, 1:]
        order = np.argsort(predict(booster, inputs)[:, 0], kind="stable")
        real = inputs[order[np.linspace(0, len(order) - 1, REAL_CANARY_ROWS).astype(int)]]
        holes = real[REAL_CANARY_ROWS // 2].copy()
        holes[::2] = np.nan
        # fmin and fmax ignore missing values, and keep a column of only missing values missing.
        chosen += [*real, holes, np.fmin.reduce(inputs), np.fmax.reduce(inputs)]
    return np.array(list({row.tobytes(): row for row in chosen}.values()))


def find_thresholds(booster: xgboost.Booster, width: int) -> Matrix:
    """Return for each feature the first threshold that its trees split at, NaN if they don't use it."""
    found: dict[int, float] = {}
    index = {name: i for i, name in enumerate(booster.feature_names or [f"f{i}" for i in range(width)])}
    rounds = min(THRESHOLD_TREES, booster.num_boosted_rounds())
    nodes = [json.loads(tree) for tree in booster[:rounds].get_dump(dump_format="json")] if rounds else []
    while nodes:
        node = nodes.pop()
        nodes += node.get("children", ())
        feature, threshold = index.get(node.get("split")), node.get("split_condition")
        # A categorical split has a list of categories instead of a threshold.
        if feature is not None and isinstance(threshold, int | float):
            found.setdefault(feature, threshold)
    return np.array([found.get(feature, np.nan) for feature in range(width)])


def predict(booster: xgboost.Booster, rows: Matrix) -> NDArray[np.float32]:
    """Return predictions, always as rows by outputs."""
    predicted: NDArray[np.float32] = booster.predict(to_dmatrix(booster, rows))
    return predicted.reshape(len(rows), -1)


def to_dmatrix(booster: xgboost.Booster, rows: Matrix, label: Matrix | None = None) -> xgboost.DMatrix:
    """Wrap rows as the booster requires: with its own feature names and types, if it has any."""
    return xgboost.DMatrix(
        rows,
        label=label,
        missing=np.nan,
        feature_names=booster.feature_names,
        feature_types=booster.feature_types,
        enable_categorical=True,
    )


def load_booster(content: bytes) -> tuple[xgboost.Booster, bool]:
    """Load a model. The second value is false for a model that stopped early, which is cut to its best iteration."""
    booster = xgboost.Booster()
    booster.load_model(bytearray(content))
    best = booster.attr("best_iteration")
    return (booster, True) if best is None else (booster[: int(best) + 1], False)


def read_channel(content: str) -> Matrix:
    """Read a channel: numbers only, label first, an empty cell for missing."""
    return np.array([[float(cell or "nan") for cell in line.split(",")] for line in content.splitlines()])


def main(directory: Path) -> int:
    """Execute request.json and write the result to the directory. Returns the exit code, 1 for an unsupported model."""
    request = json.loads((directory / "request.json").read_text())
    _limit_resources(request["seconds"])
    content = (directory / "model").read_bytes()
    try:
        booster, whole = load_booster(content)
        # A model that can be served unchanged stays as the trainer wrote it, and keeps its digest.
        served = content if whole and request["format"] == "ubj" else bytes(booster.save_raw("ubj"))
        channels = {name: read_channel((directory / f"{name}.csv").read_text()) for name in request["channels"]}
        result = measure(booster, request["features"], channels)
    except (UnsupportedModelError, xgboost.core.XGBoostError, ValueError) as error:
        reason = str(error).partition("Stack trace:")[0].strip()
        (directory / "result.json").write_text(json.dumps({"error": reason}))
        return 1
    (directory / "model.ubj").write_bytes(served)
    (directory / "result.json").write_text(json.dumps(result))
    return 0


def _limit_resources(seconds: int) -> None:
    """Disable core files, limit memory to what a large model needs, and end even if the parent process is gone."""
    for what, most in ((resource.RLIMIT_CORE, 0), (resource.RLIMIT_AS, MEMORY_LIMIT), (resource.RLIMIT_CPU, seconds)):
        _, hard = resource.getrlimit(what)
        allowed = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(what, (allowed, allowed))


def _check_names(booster: xgboost.Booster, names: Sequence[str]) -> None:
    width = booster.num_features()
    if width != len(names):
        raise UnsupportedModelError(f"it has {width} features, and {len(names)} names are given: {', '.join(names)}")
    own = booster.feature_names
    if own and list(own) != list(names):
        index, (here, there) = next(
            (i, pair) for i, pair in enumerate(zip(own, names, strict=True)) if pair[0] != pair[1]
        )
        raise UnsupportedModelError(f"its feature {index + 1} is named {here!r}, and {there!r} is given")


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
