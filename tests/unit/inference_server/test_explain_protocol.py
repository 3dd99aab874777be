"""`POST /explain`: contributions are the library's own and sum to the margin."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from .model_bundles import NAMES, same_floats, to_lists


@pytest.mark.parametrize(
    ("objective", "options"),
    [
        ("reg:squarederror", {}),
        ("binary:logistic", {}),
        ("count:poisson", {}),
        ("reg:squarederror", {"booster": "dart", "rate_drop": 0.3}),
    ],
)
def test_contributions_sum_to_the_margin(
    train_bundle: Any, start_server: Any, objective: str, options: dict[str, Any]
) -> None:
    """Per row: the prediction, the margin, and a share for each feature by name; shares and bias make up the margin."""
    bundle, count = train_bundle(objective, **options), 5
    rows = bundle.rows[:count]
    answer = start_server(bundle).send("POST", "/explain", {"instances": to_lists(rows)})
    assert answer.json["model"] == {"name": "housing-model", "version": 3}
    explained = answer.json["explanations"]
    assert same_floats([each["prediction"] for each in explained], bundle.predict(rows))
    assert same_floats([each["margin"] for each in explained], bundle.predict(rows, output_margin=True))
    expected = bundle.predict(rows, pred_contribs=True)
    for each, shares in zip(explained, expected, strict=True):
        assert list(each["contributions"]) == list(NAMES)
        assert same_floats([*each["contributions"].values(), each["bias"]], shares)
        total = sum(each["contributions"].values()) + each["bias"]
        assert total == pytest.approx(each["margin"], rel=1e-4, abs=1e-4)


@pytest.mark.parametrize("objective", ["multi:softprob", "multi:softmax"])
def test_multi_class_contributions_are_lists(train_bundle: Any, start_server: Any, objective: str) -> None:
    """With classes, margin, bias and contributions are lists, one value per class."""
    bundle = train_bundle(objective)
    answer = start_server(bundle).send("POST", "/explain", {"instances": to_lists(bundle.rows[:4])})
    expected = bundle.predict(bundle.rows[:4], pred_contribs=True)
    for each, shares in zip(answer.json["explanations"], expected, strict=True):
        found = np.array([*each["contributions"].values(), each["bias"]]).T
        assert same_floats(found, shares)
        np.testing.assert_allclose(found.sum(axis=1), each["margin"], rtol=1e-4, atol=1e-4)


def test_invalid_rows_are_rejected(housing_bundle: Any, start_server: Any) -> None:
    """The same checks as `/predict`'s."""
    answer = start_server(housing_bundle).send("POST", "/explain", {"instances": [[1, 2, 3, 4, 5, 6, 7]]})
    assert (answer.status, answer.error["field"]) == (422, "instances[0].longitude")


def test_explain_has_its_own_row_limit(housing_bundle: Any, start_server: Any) -> None:
    """Explaining a row takes as long as predicting hundreds: beyond the limit it is refused, while predicting isn't."""
    server = start_server(housing_bundle, max_explained=2)
    body = {"instances": [[1.0] * 8] * 3}
    assert server.send("POST", "/predict", body).status == 200
    answer = server.send("POST", "/explain", body)
    assert (answer.status, answer.error["code"]) == (422, "too_many_rows")
    assert server.send("POST", "/explain", {"instances": body["instances"][:2]}).status == 200
