"""`POST /explain`: the contributions to a prediction. Takes the input of `/predict`.

For each row: the prediction, the margin (the prediction before the objective's final transformation), each feature's
SHAP contribution to the margin, and the bias. Bias and contributions sum to the margin. For models with several
outputs, each number is a list with one value per output.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson

from inference_server.http_messages import HttpResponse
from inference_server.model import Model
from inference_server.protocols.predict import group_by_row
from inference_server.signature import Rows


def explain(model: Model, rows: Rows) -> HttpResponse:
    """Explain rows. Takes milliseconds per row, so never call it on the event loop."""
    engine, manifest = model.engine, model.manifest
    predictions = group_by_row(engine.predict(rows.data, rows.count), engine.outputs)
    margins = engine.margin(rows.data, rows.count)
    contributions = engine.contributions(rows.data, rows.count)
    groups = len(margins) // rows.count  # one per class: softmax has one prediction, but one margin per class
    names, step = (*model.signature.names, None), groups * (engine.width + 1)
    explanations = []
    for index, (prediction, margin) in enumerate(zip(predictions, group_by_row(margins, groups), strict=True)):
        shares = _by_name(names, contributions[index * step : (index + 1) * step], groups)
        bias = shares.pop(None)
        explanations.append({"prediction": prediction, "margin": margin, "bias": bias, "contributions": shares})
    identity = {"name": manifest.name, "version": manifest.version}
    return HttpResponse(orjson.dumps({"explanations": explanations, "model": identity}))


def _by_name(names: Sequence[str | None], values: Sequence[float], groups: int) -> dict[str | None, Any]:
    """Return each feature's value, or its list of values by group. The library stores group by group, the bias last."""
    if groups == 1:
        return dict(zip(names, values, strict=True))
    width = len(names)
    return {name: [values[group * width + column] for group in range(groups)] for column, name in enumerate(names)}
