"""The model that is served, and the rows that are asked: California Housing with the demo's hyperparameters.

XGBoost trains it in a child process: a library mapped by the program that measures would be shared with the servers,
and make their share of memory look smaller.
"""

from __future__ import annotations

import json
import struct
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.serving.virtualenvs import ROOT, WORK_DIR

MAX_ROWS: Final = 10_000
_SPEC: Final = ROOT / "specs" / "housing-model.yaml"
_DATA: Final = ROOT / "data" / "california_housing.csv"


@dataclass(frozen=True)
class Model:
    """A bundle on disk. `rows` are CSV lines of features, `expected` what `Booster.predict` gives for each."""

    directory: Path
    rows: list[str]
    expected: list[float]

    @property
    def file(self) -> Path:
        """The model itself, for servers that know no bundles."""
        return self.directory / "model.ubj"

    def csv(self, count: int) -> bytes:
        """Give the first rows as CSV."""
        return "\n".join(self.rows[:count]).encode()

    def json(self, count: int, before: str, after: str) -> bytes:
        """Give the first rows as a JSON list of lists, between two texts."""
        return f"{before}[{','.join(f'[{row}]' for row in self.rows[:count])}]{after}".encode()

    def floats(self, count: int) -> bytes:
        """Give the first rows as little-endian 32-bit floats."""
        values = [float(cell) for row in self.rows[:count] for cell in row.split(",")]
        return struct.pack(f"<{len(values)}f", *values)


def train_and_bundle() -> Model:
    """Train and bundle anew."""
    directory = WORK_DIR / "model"
    subprocess.run([sys.executable, "-m", "benchmarks.serving.served_model", str(directory)], cwd=ROOT, check=True)
    requested = json.loads((directory / "asked.json").read_text())
    return Model(directory, requested["rows"], requested["expected"])


def _train(directory: Path) -> None:
    import numpy as np
    import xgboost
    import yaml

    from controller import bundle
    from controller.dataset import SplitShares, load_dataset

    spec = yaml.safe_load(_SPEC.read_text())["spec"]
    parameters = dict(spec["training"]["hyperparameters"])
    data = load_dataset(_DATA, target=spec["data"]["target"], split=SplitShares(0.08, 0.2))
    train = np.loadtxt(data.channels["train"].content.decode().splitlines(), delimiter=",", dtype=np.float32)
    rounds = int(parameters.pop("num_round"))
    booster = xgboost.train(parameters, xgboost.DMatrix(train[:, 1:], train[:, 0]), rounds)
    directory.mkdir(parents=True, exist_ok=True)
    trained = directory / "trained.ubj"
    booster.save_model(trained)
    channels = {name: channel.content for name, channel in data.channels.items()}
    bundled = bundle.build_bundle(
        bundle.read_model(trained),
        name="housing-model",
        features=data.features,
        target=data.target,
        channels=channels,
        version=1,
    )
    bundled.write(directory)
    rows = [line.partition(",")[2] for line in _DATA.read_text().splitlines()[1 : MAX_ROWS + 1]]
    matrix = xgboost.DMatrix(np.loadtxt(rows, delimiter=",", dtype=np.float32))
    expected = xgboost.Booster(model_file=directory / "model.ubj").predict(matrix)
    (directory / "asked.json").write_text(json.dumps({"rows": rows, "expected": [float(value) for value in expected]}))


if __name__ == "__main__":
    _train(Path(sys.argv[1]))
