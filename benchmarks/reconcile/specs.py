"""The specs that are reconciled: one environment and any number of ModelServices, as files, over one small table."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Final

# An image with the inference server in it, so that each model's image adds a layer with its model and no other.
BASE: Final = "moorage-benchmark/base:server"
ROWS: Final = 1000

_ENVIRONMENT: Final = """\
apiVersion: moorage/v1alpha1
kind: Environment
metadata: {name: default}
spec: {region: us-east-1, cluster: models, edge: {type: cloudMap}}
"""
_MODEL: Final = """\
apiVersion: moorage/v1alpha1
kind: ModelService
metadata: {{name: {name}, labels: {{team: pricing}}}}
spec:
  environment: default
  data: {{source: ../rows.csv, target: value}}
  training:
    algorithm: {{name: xgboost, version: "3.2-0"}}
    hyperparameters: {{objective: reg:squarederror, max_depth: 4, num_round: 20}}
  model: {{gates: [{{metric: rmse, dataset: test, max: 1000000}}]}}
  image: {{base: "{base}"}}
  service: {{cpu: 0.25 vCPU, memory: {memory} GB, desiredCount: 1}}
  api: {{routes: [{{method: POST, path: /predict}}, {{method: GET, path: /model}}]}}
"""


def write(directory: Path, count: int, *, memory: int = 1) -> None:
    """Write `count` ModelServices; `memory` (GB) is the one field that a change changes."""
    specs = directory / "specs"
    specs.mkdir(parents=True, exist_ok=True)
    (directory / "rows.csv").write_text(_table())
    (specs / "environment.yaml").write_text(_ENVIRONMENT)
    for number in range(count):
        name = f"model-{number:04}"
        (specs / f"{name}.yaml").write_text(_MODEL.format(name=name, base=BASE, memory=memory))


def _table() -> str:
    """A table whose value follows from two features, but for some noise; the same one each time."""
    dice = random.Random(7)
    lines = ["value,width,height"]
    for _ in range(ROWS):
        width, height = dice.randint(1, 50), dice.randint(1, 50)
        lines.append(f"{width * height + dice.randint(0, 9)},{width},{height}")
    return "\n".join(lines) + "\n"
