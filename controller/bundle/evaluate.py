"""A program of its own: loads one model with XGBoost, measures it, and picks its canary rows.

It runs apart from the controller because a model is somebody else's input to a large C++ library, and because numpy and
XGBoost take time and memory that the controller shouldn't pay. So it imports nothing of the controller, sees no
environment, and speaks through one directory:

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

# XGBoost's own metrics that mean something for an objective: the first prefix that fits decides.
METRICS_BY_OBJECTIVE_PREFIX: Sequence[tuple[str, tuple[str, ...]]] = (
    ("binary:logistic", ("logloss", "error", "auc")),
    ("binary:logitraw", ("auc",)),
    ("binary:hinge", ("error",)),
    ("multi:", ("mlogloss", "merror")),
    ("reg:", ("rmse", "mae")),
    ("count:", ("rmse", "mae")),
)
# Whose rows are shown to be canaries: rather ones that the model was not fitted to.
CANARY_CHANNELS = ("test", "validation", "train")
REAL_CANARY_ROWS = 5
THRESHOLD_TREES = 8
MAX_FLOAT32 = np.finfo(np.float32).max
MEMORY_LIMIT = 8 * 2**30


class UnsupportedModelError(Exception):
    """The model can't be measured or served; the text says why."""


def measure(booster: xgboost.Booster, names: Sequence[str], channels: Mapping[str, Matrix]) -> dict[str, Any]:
    """Return what the manifest must say of the model: objective, classes, metrics per channel, canaries, predictions.

    A channel is a matrix with the label in its first column, NaN for missing. `predictions` are those for the train
    channel's rows, empty where a prediction is more than one number. Raise UnfitError, or XGBoostError in its words.
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
    """Let XGBoost score the rows; leave out what it can't tell, such as the AUC of one class."""
    names = next((names for prefix, names in METRICS_BY_OBJECTIVE_PREFIX if objective.startswith(prefix)), ())
    if not names:
        return {}
    booster.set_param([("disable_default_eval_metric", "1"), *(("eval_metric", name) for name in names)])
    # The answer is a round and then NAME:VALUE for each metric, the objective's own among them, parted by tabs.
    scores = booster.eval_set([(to_dmatrix(booster, rows[:, 1:], rows[:, 0]), "x")]).split("\t")[1:]
    values = {name.removeprefix("x-"): float(value) for name, _, value in (score.rpartition(":") for score in scores)}
    return {name: values[name] for name in names if np.isfinite(values[name])}


def choose_canary_rows(booster: xgboost.Booster, width: int, rows: Matrix | None) -> Matrix:
    """Return rows that a wrongly read model would get wrong.

    Real rows from the lowest to the highest prediction; the lowest and highest value of every feature at once; rows
    with values missing; and rows exactly at, and just below, the thresholds of the first trees, where `<` and `<=` differ.
    """
    at = find_thresholds(booster, width)
    below = np.nextafter(at.astype(np.float32), -MAX_FLOAT32).astype(np.float64)
    # Zero is a category, where a feature has those.
    chosen = [np.full(width, np.nan), np.nan_to_num(at), np.nan_to_num(below)]
    if rows is not None:
        inputs = rows[:, 1:]
        order = np.argsort(predict(booster, inputs)[:, 0], kind="stable")
        real = inputs[order[np.linspace(0, len(order) - 1, REAL_CANARY_ROWS).astype(int)]]
        holes = real[REAL_CANARY_ROWS // 2].copy()
        holes[::2] = np.nan
        # fmin and fmax pass over missing values, and leave a column of them missing.
        chosen += [*real, holes, np.fmin.reduce(inputs), np.fmax.reduce(inputs)]
    return np.array(list({row.tobytes(): row for row in chosen}.values()))


def find_thresholds(booster: xgboost.Booster, width: int) -> Matrix:
    """Return for each feature the first threshold that its trees split at, NaN where they have none."""
    found: dict[int, float] = {}
    index = {name: i for i, name in enumerate(booster.feature_names or [f"f{i}" for i in range(width)])}
    rounds = min(THRESHOLD_TREES, booster.num_boosted_rounds())
    nodes = [json.loads(tree) for tree in booster[:rounds].get_dump(dump_format="json")] if rounds else []
    while nodes:
        node = nodes.pop()
        nodes += node.get("children", ())
        feature, threshold = index.get(node.get("split")), node.get("split_condition")
        # A categorical split has a list of categories instead.
        if feature is not None and isinstance(threshold, int | float):
            found.setdefault(feature, threshold)
    return np.array([found.get(feature, np.nan) for feature in range(width)])


def predict(booster: xgboost.Booster, rows: Matrix) -> NDArray[np.float32]:
    """Predict, always as rows by outputs."""
    predicted: NDArray[np.float32] = booster.predict(to_dmatrix(booster, rows))
    return predicted.reshape(len(rows), -1)


def to_dmatrix(booster: xgboost.Booster, rows: Matrix, label: Matrix | None = None) -> xgboost.DMatrix:
    """Wrap rows as the booster wants them: with its own feature names and types, if it has any."""
    return xgboost.DMatrix(
        rows,
        label=label,
        missing=np.nan,
        feature_names=booster.feature_names,
        feature_types=booster.feature_types,
        enable_categorical=True,
    )


def load_booster(content: bytes) -> tuple[xgboost.Booster, bool]:
    """Read a model, and say whether it is whole: one that stopped early is cut down to its best iteration."""
    booster = xgboost.Booster()
    booster.load_model(bytearray(content))
    best = booster.attr("best_iteration")
    return (booster, True) if best is None else (booster[: int(best) + 1], False)


def read_channel(content: str) -> Matrix:
    """Read a channel: numbers only, label first, an empty cell for missing."""
    return np.array([[float(cell or "nan") for cell in line.split(",")] for line in content.splitlines()])


def main(directory: Path) -> int:
    """Do what request.json asks and leave the outcome in the directory. Return the exit code, 1 for an unfit model."""
    request = json.loads((directory / "request.json").read_text())
    _limit_resources(request["seconds"])
    content = (directory / "model").read_bytes()
    try:
        booster, whole = load_booster(content)
        # What can be served as it is stays as the trainer wrote it, and keeps its digest.
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
    """Leave no core file, take no more memory than a large model needs, and end even if nobody waits any more."""
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
