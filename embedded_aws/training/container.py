"""A training job's container: its `/opt/ml` directory, its process and its results.

Implements SageMaker's container contract
(https://docs.aws.amazon.com/sagemaker/latest/dg/your-algorithms-training-algo-running-container.html), not the API.
`strict/sagemaker_training_jobs.py` drives the states of a job.
"""

from __future__ import annotations

import gzip
import io
import json
import os
import re
import selectors
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from embedded_aws.child_processes import ChildProcesses

_SOURCE_ROOT = Path(__file__).resolve().parents[2]
_METRIC = re.compile(r"\t(train|validation)-([^:\t]+):(\S+)")
_TICK = 0.1


def _inherited_environment() -> dict[str, str]:
    """Return the part of this program's environment that the algorithm image sees.

    OpenMP's threads wait without spinning: beside other processes, spinning multiplies the CPU time of a training.
    """
    inherited = {name: os.environ[name] for name in ("PATH", "OMP_NUM_THREADS") if name in os.environ}
    return {"OMP_WAIT_POLICY": "PASSIVE", **inherited}


@dataclass(frozen=True)
class ContainerExit:
    """How the process ended. `stopped` has the reason for stopping it, and is empty when it ended by itself."""

    code: int
    failure: str
    stop_reason: str


class TrainingContainer:
    """One training container. `close` removes its directory."""

    def __init__(self, home: Path, name: str) -> None:
        home.mkdir(parents=True, exist_ok=True)
        self._root = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=home))
        self._ml = self._root / "opt/ml"
        for part in ("input/config", "input/data", "model", "output/data", "code"):
            (self._ml / part).mkdir(parents=True)
        self.metrics: dict[str, float] = {}

    def write_configuration(self, hyperparameters: Mapping[str, str], channels: Sequence[Mapping[str, Any]]) -> None:
        """Write the configuration files; `channels` is the API's InputDataConfig."""
        config = {channel["ChannelName"]: _channel_config(channel) for channel in channels}
        hosts = {"current_host": "algo-1", "hosts": ["algo-1"], "network_interface_name": "eth0"}
        for name, content in (
            ("hyperparameters", dict(hyperparameters)),
            ("inputdataconfig", config),
            ("resourceconfig", hosts),
        ):
            (self._ml / f"input/config/{name}.json").write_text(json.dumps(content))

    def write_channel(self, channel: str, files: Iterable[tuple[str, bytes]], *, zipped: bool = False) -> None:
        """Write a channel's files, named by their path below the channel's prefix."""
        folder = self._ml / "input/data" / channel
        folder.mkdir(exist_ok=True)
        for name, content in files:
            path = (folder / name).resolve()
            if not path.is_relative_to(folder):
                raise ValueError(f"object key leads out of the channel: {name}")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(gzip.decompress(content) if zipped else content)

    def run(
        self,
        children: ChildProcesses,
        environment: Mapping[str, str],
        on_lines: Callable[[list[str]], None],
        stop_reason: Callable[[], str],
    ) -> ContainerExit:
        """Run the image to its end. `on_lines` receives its output; `stop_reason` returns why it should stop, or "".

        The container sends SIGTERM to stop it, and SIGKILL after 120 s, as SageMaker does.
        """
        process = children.spawn(
            [sys.executable, "-P", "-u", "-m", "embedded_aws.training.xgboost_image", str(self._root)],
            cwd=self._root,
            env={**_inherited_environment(), "PYTHONPATH": str(_SOURCE_ROOT), **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        reason, deadline = "", 0.0
        for lines in _read_lines(process):
            self._record_metrics(lines)
            on_lines(lines)
            if not reason and (reason := stop_reason()):
                process.terminate()
                deadline = time.monotonic() + 120
            elif reason and time.monotonic() > deadline:
                process.kill()
        return ContainerExit(process.wait(), self._read_failure(), reason)

    def digest_inputs(self) -> str:
        """Return a digest of everything that the image reads: equal inputs have equal digests."""
        files = sorted(path for path in (self._ml / "input").rglob("*") if path.is_file())
        digests = [[str(path.relative_to(self._ml)), sha256(path.read_bytes()).hexdigest()] for path in files]
        return sha256(json.dumps(digests).encode()).hexdigest()

    def read_model(self) -> dict[str, bytes]:
        """Return the files in the model directory, by name."""
        return {str(path.relative_to(self._ml / "model")): path.read_bytes() for path in self._model_files()}

    def restore_results(self, model: Mapping[str, bytes], metrics: Mapping[str, float]) -> None:
        """Restore the results of an equal job."""
        for name, content in model.items():
            path = self._ml / "model" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        self.metrics = dict(metrics)

    def pack_artifact(self) -> bytes | None:
        """Pack the model directory as `model.tar.gz`. Return None when the image wrote nothing to it."""
        files = self._model_files()
        if not files:
            return None
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w:gz") as archive:
            for path in files:
                archive.add(path, arcname=str(path.relative_to(self._ml / "model")))
        return packed.getvalue()

    def close(self) -> None:
        """Remove the directory."""
        shutil.rmtree(self._root, ignore_errors=True)

    def _model_files(self) -> list[Path]:
        return sorted(path for path in (self._ml / "model").rglob("*") if path.is_file())

    def _record_metrics(self, lines: list[str]) -> None:
        """Keep the latest metrics under SageMaker's names: `validation-rmse` becomes `validation:rmse`."""
        for line in lines:
            for dataset, metric, value in _METRIC.findall(line):
                self.metrics[f"{dataset}:{metric}"] = float(value)

    def _read_failure(self) -> str:
        path = self._ml / "output/failure"
        # DescribeTrainingJob returns only the first 1,024 characters.
        return path.read_text(errors="replace")[:1024] if path.is_file() else ""


def _channel_config(channel: Mapping[str, Any]) -> dict[str, str]:
    source = channel["DataSource"]["S3DataSource"]
    config = {
        "TrainingInputMode": channel.get("InputMode", "File"),
        "S3DistributionType": source.get("S3DataDistributionType", "FullyReplicated"),
        "RecordWrapperType": channel.get("RecordWrapperType", "None"),
    }
    return config | ({"ContentType": channel["ContentType"]} if "ContentType" in channel else {})


def _read_lines(process: subprocess.Popen[bytes]) -> Iterable[list[str]]:
    """Yield new lines of output at least ten times a second, until the process closes its output."""
    if process.stdout is None:
        raise ValueError("the process has no pipe for its output")
    rest = b""
    with process.stdout as pipe, selectors.DefaultSelector() as selector:
        selector.register(pipe, selectors.EVENT_READ)
        while True:
            if not selector.select(_TICK):
                yield []
                continue
            chunk = os.read(pipe.fileno(), 1 << 16)
            *lines, rest = (rest + chunk).split(b"\n")
            if not chunk:
                lines = [rest] if rest else []
            yield [line.decode("utf-8", "replace") for line in lines]
            if not chunk:
                return
