"""The built-in XGBoost algorithm image, as a process: `python -m embedded_aws.training.xgboost_image ROOT`.

ROOT stands for `/` of the container. The image reads `opt/ml/input`, prints one line of metrics per round, and writes
`xgboost-model` to `opt/ml/model`. On failure it writes the reason to `opt/ml/output/failure` and exits with 1. Sources:
https://docs.aws.amazon.com/sagemaker/latest/dg/your-algorithms-training-algo-running-container.html and
aws/sagemaker-xgboost-container `algorithm_mode/train.py`. It imports nothing of the embedded AWS but the
hyperparameters.
"""

from __future__ import annotations

import csv
import json
import os
import re
import signal
import sys
import traceback
import warnings
from pathlib import Path
from typing import Any

import xgboost

from embedded_aws.training.hyperparameters import MAXIMIZED, UserError, parse

_CHANNELS = ("train", "validation", "code")
_CSV, _LIBSVM = "csv", "libsvm"
# A label, an optional weight, then index:value pairs.
_LIBSVM_LINE = re.compile(r"[-+.\deE]+(:[-+.\deE]+)?( +\d+:\S+)*\s*$")


def main(root: Path) -> int:
    """Train the model; return the container's exit code."""
    ml = root / "opt/ml"
    # XGBoost warns that it will drop text input. SageMaker's image still reads its input this way.
    warnings.filterwarnings("ignore", message=".*Text file input has been deprecated.*")
    try:
        _train(ml)
    except Exception as error:  # noqa: BLE001
        traceback.print_exc()
        text = f"framework error: {type(error).__name__}: {error}"
        (ml / "output/failure").write_text(text)
        return 1
    return 0


def _train(ml: Path) -> None:
    settings = parse(json.loads((ml / "input/config/hyperparameters.json").read_text()))
    channels = json.loads((ml / "input/config/inputdataconfig.json").read_text())
    form = _content_type(channels)
    weights = settings.pop("csv_weights", 0)
    train = _read_matrix(ml / "input/data/train", form, weights)
    validation = _read_matrix(ml / "input/data/validation", form, weights) if "validation" in channels else None
    print(f"Train matrix has {train.num_row()} rows and {train.num_col()} columns", flush=True)  # noqa: T201
    if validation is not None:
        print(f"Validation matrix has {validation.num_row()} rows", flush=True)  # noqa: T201
    settings.pop("use_dask_gpu_training", None)
    rounds = settings.pop("num_round")
    callbacks = _build_callbacks(settings, ml / "model", validation is not None)
    watched = [(train, "train")] + ([(validation, "validation")] if validation is not None else [])
    booster = xgboost.train(settings, train, rounds, evals=watched, callbacks=callbacks, verbose_eval=False)
    _write_model(booster, ml / "model")


def _content_type(channels: dict[str, Any]) -> str:
    """Return the content type of both channels: the train channel's, or libsvm by default, as in the image."""
    if "train" not in channels:
        raise UserError("Missing required channel: train")
    if extra := sorted(set(channels) - set(_CHANNELS)):
        raise UserError(f"Extraneous channel found: {', '.join(extra)}")
    given = channels["train"].get("ContentType", "text/libsvm")
    kind = given.partition(";")[0].strip().lower()
    if kind in {"csv", "text/csv"}:
        return _CSV
    if kind in {"libsvm", "text/libsvm", "text/x-libsvm"}:
        return _LIBSVM
    raise UserError(f"{given} is not an accepted ContentType here: text/csv or text/libsvm")


def _read_matrix(channel: Path, form: str, weights: int) -> Any:
    """Read all files of a channel as the image does, with XGBoost's own text reader. In CSV the label comes first."""
    files = sorted(path for path in channel.rglob("*") if path.is_file())
    if hidden := [path.name for path in files if path.name.startswith(".")]:
        raise UserError(f"Hidden file in channel {channel.name}: {hidden[0]}")
    if not files:
        raise UserError(f"No data in channel path {channel}")
    with files[0].open(errors="replace") as text:
        first = text.readline()
    options = f"?format={form}"
    if form == _CSV:
        options += f"&label_column=0&delimiter={_guess_delimiter(first)}" + ("&weight_column=1" if weights else "")
    elif not _LIBSVM_LINE.match(first):
        raise UserError(f"First line '{first[:50]}...' of file '{files[0].name}' is not 'LIBSVM' format")
    try:
        return xgboost.DMatrix(f"{channel}{options}", silent=True)
    except xgboost.core.XGBoostError as error:
        raise UserError(f"Failed to load {form} data with exception: {error}") from error


def _guess_delimiter(line: str) -> str:
    """Guess the delimiter from one line, as the image does."""
    try:
        return csv.Sniffer().sniff(line).delimiter
    except csv.Error as error:
        raise UserError(f"Could not determine delimiter on line {line[:50]}: {error}") from error


def _build_callbacks(settings: dict[str, Any], model: Path, validated: bool) -> list[Any]:
    """Build the image's callbacks.

    They print a line per round, stop early, and keep the model when the job is stopped. Without `eval_metric` or a
    validation channel, early stopping is silently ignored, as in the image.
    """
    callbacks: list[Any] = [xgboost.callback.EvaluationMonitor()]
    if settings.pop("save_model_on_termination", "false") == "true":
        callbacks.append(_CheckpointSaver(model))
        signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    patience, metrics = settings.pop("early_stopping_rounds", None), settings.get("eval_metric")
    if patience and metrics and validated:
        name = metrics[-1]
        callbacks.append(
            xgboost.callback.EarlyStopping(
                patience, metric_name=name, data_name="validation", maximize=name in MAXIMIZED, save_best=True
            )
        )
    return callbacks


class _CheckpointSaver(xgboost.callback.TrainingCallback):  # type: ignore[misc]  # xgboost has no types
    """Saves the model of the latest round to the model directory."""

    def __init__(self, model: Path) -> None:
        super().__init__()
        self._model = model

    def after_iteration(self, model: Any, _epoch: int, _evals: Any) -> bool:
        """Write the model. Never requests a stop."""
        _write_model(model, self._model)
        return False


def _write_model(booster: Any, directory: Path) -> None:
    """Write `xgboost-model` atomically, in UBJSON as version 3 of the image does."""
    draft = directory.parent / "xgboost-model.new"
    draft.write_bytes(booster.save_raw("ubj"))
    draft.rename(directory / "xgboost-model")


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
