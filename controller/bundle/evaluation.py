"""Run `evaluate.py` in a separate process, and report clearly if it fails. This module doesn't load XGBoost."""

from __future__ import annotations

import json
import math
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from controller.bundle.xgboost_model import XgboostModel
from controller.errors import BundleError

EVALUATE_SCRIPT = Path(__file__).with_name("evaluate.py")
# One thread, because the controller evaluates several models at once; and no environment variables in the child.
CHILD_ENVIRONMENT = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


@dataclass(frozen=True)
class Evaluation:
    """XGBoost's evaluation of a model: the UBJSON to serve, and the result of `evaluate.measure`."""

    model: bytes
    objective: str
    num_class: int
    metrics: Mapping[str, Mapping[str, float]]
    canaries: Sequence[Mapping[str, Any]]
    predictions: Sequence[float]


def evaluate_model(
    model: XgboostModel, features: Sequence[str], channels: Mapping[str, bytes], *, timeout: float = 300.0
) -> Evaluation:
    """Measure a model on header-less, label-first channels; see `evaluate.py`.

    `timeout` is in seconds. Raises BundleError if the model doesn't fit the names or rows, can't be read, or takes too
    long. Recent evaluations are cached: several environments may train the same model on the same rows.
    """
    request = {
        "format": model.format,
        "features": list(features),
        "channels": list(channels),
        "seconds": math.ceil(timeout),
    }
    contents = [sha256(content).hexdigest() for content in (model.content, *channels.values())]
    asked = json.dumps([request, contents])
    known = _evaluation_cache.get(asked)
    if known is None:
        known = _measure(model, channels, request, timeout)
        _evaluation_cache.put(asked, known)
    return known


class _EvaluationCache:
    """The evaluations of the last few models."""

    _MAX_ENTRIES = 4

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._entries: dict[str, Evaluation] = {}

    def get(self, request_key: str) -> Evaluation | None:
        with self._lock:
            return self._entries.get(request_key)

    def put(self, request_key: str, evaluation: Evaluation) -> None:
        with self._lock:
            self._entries[request_key] = evaluation
            for oldest in list(self._entries)[: -self._MAX_ENTRIES]:
                del self._entries[oldest]


_evaluation_cache = _EvaluationCache()


def _measure(
    model: XgboostModel, channels: Mapping[str, bytes], request: Mapping[str, Any], timeout: float
) -> Evaluation:
    with TemporaryDirectory(prefix="moorage-evaluate-") as name:
        directory = Path(name)
        (directory / "request.json").write_text(json.dumps(request), encoding="utf-8")
        (directory / "model").write_bytes(model.content)
        for channel, content in channels.items():
            (directory / f"{channel}.csv").write_bytes(content)
        result = _run(directory, timeout)
        return Evaluation(model=(directory / "model.ubj").read_bytes(), **result)


def _run(directory: Path, timeout: float) -> dict[str, Any]:
    # Isolated mode (-I): neither the current directory nor PYTHONPATH can add modules to the child.
    command = [sys.executable, "-I", str(EVALUATE_SCRIPT), str(directory)]
    try:
        done = subprocess.run(
            command, env=CHILD_ENVIRONMENT, stdin=subprocess.DEVNULL, capture_output=True, timeout=timeout, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise BundleError("the model's evaluation was stopped", why=f"it took longer than {timeout:g} s") from error
    outcome = directory / "result.json"
    if done.returncode not in (0, 1) or not outcome.exists():
        raise BundleError("the model's evaluation died", why=_exit_reason(done))
    result: dict[str, Any] = json.loads(outcome.read_bytes())
    if "error" in result:
        raise BundleError("the model can't be used", why=result["error"])
    return result


def _exit_reason(done: subprocess.CompletedProcess[bytes]) -> str:
    if done.returncode < 0:
        return f"killed by {signal.Signals(-done.returncode).name}"
    lines = done.stderr.decode(errors="replace").split("\n")
    return next((line[:300] for line in reversed(lines) if line.strip()), f"exit code {done.returncode}")
