"""`make demo`: the whole story on this machine. Two commands and a question, as anybody could type them."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from rich.text import Text

from controller.cli import output, render_status, run
from controller.cli.get import find
from controller.cli.options import Place
from controller.cli.predict import ask, curl
from controller.runtime.compose import open_store

MODEL = "housing-model"
# The first row of data/california_housing.csv; its house was worth 452,600 dollars.
ROW = {
    "median_income": 8.3252,
    "housing_median_age": 41,
    "total_rooms": 880,
    "total_bedrooms": 129,
    "population": 322,
    "households": 126,
    "latitude": 37.88,
    "longitude": -122.23,
}


def main() -> int:
    """Reconcile the repository's specs in the embedded AWS, show what is there, and ask the model."""
    place = Place(local=True, home=Path(os.environ.get("MOORAGE_HOME", Place().home)))
    code = run(["reconcile", "--once", "--local", "--home", str(place.home), "-f", str(_specs())])
    if code:
        return code
    store = open_store(place.home, local=True)
    status = find(store, "default", MODEL)
    url, body = f"{status.facts['endpoint']}/predict", json.dumps({"instances": [ROW]}).encode()
    answer = json.loads(ask(url, body))
    rmse = status.facts["model"]["metrics"]["test"]["rmse"]
    output.show(Text("\n").append_text(render_status.resources(list(store.statuses("default")))))
    output.show(Text(f"\ntest RMSE: {rmse:,.0f}\n\n$ {curl(url, body)}\n{json.dumps(answer)}\n"))
    output.show(Text("The API stays up. Stop it with `make down`."))
    return 0


def _specs() -> Path:
    return Path(__file__).resolve().parents[2] / "specs"


if __name__ == "__main__":
    sys.exit(main())
