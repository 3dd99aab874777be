"""`POST /explain`: contributions are the library's own and sum to the margin."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from .bundles import NAMES, lists, same_bits


@pytest.mark.parametrize(
    ("objective", "options"),
    [
        ("reg:squarederror", {}),
        ("binary:logistic", {}),
        ("count:poisson", {}),
        ("reg:squarederror", {"booster": "dart", "rate_drop": 0.3}),
    ],
)
def test_contributions_sum_to_the_margin(trained: Any, serve: Any, objective: str, options: dict[str, Any]) -> None:
    """Per row: the prediction, the margin, and a share for each feature by name; shares and bias make up the margin."""
    bundle, count = trained(objective, **options), 5
    rows = bundle.rows[:count]
    answer = serve(bundle).ask("POST", "/explain", {"instances": lists(rows)})
    assert answer.json["model"] == {"name": "housing-model", "version": 3}
    explained = answer.json["explanations"]
    assert same_bits([each["prediction"] for each in explained], bundle.predict(rows))
    assert same_bits([each["margin"] for each in explained], bundle.predict(rows, output_margin=True))
    expected = bundle.predict(rows, pred_contribs=True)
    for each, shares in zip(explained, expected, strict=True):
        assert list(each["contributions"]) == list(NAMES)
        assert same_bits([*each["contributions"].values(), each["bias"]], shares)
        total = sum(each["contributions"].values()) + each["bias"]
        assert total == pytest.approx(each["margin"], rel=1e-4, abs=1e-4)


@pytest.mark.parametrize("objective", ["multi:softprob", "multi:softmax"])
def test_several_classes(trained: Any, serve: Any, objective: str) -> None:
    """With classes, margin, bias and contributions are lists, one value per class."""
    bundle = trained(objective)
    answer = serve(bundle).ask("POST", "/explain", {"instances": lists(bundle.rows[:4])})
    expected = bundle.predict(bundle.rows[:4], pred_contribs=True)
    for each, shares in zip(answer.json["explanations"], expected, strict=True):
        found = np.array([*each["contributions"].values(), each["bias"]]).T
        assert same_bits(found, shares)
        np.testing.assert_allclose(found.sum(axis=1), each["margin"], rtol=1e-4, atol=1e-4)


def test_wrong_rows_are_refused(housing: Any, serve: Any) -> None:
    """The same checks as `/predict`'s."""
    answer = serve(housing).ask("POST", "/explain", {"instances": [[1, 2, 3, 4, 5, 6, 7]]})
    assert (answer.status, answer.error["field"]) == (422, "instances[0].longitude")


def test_it_has_a_row_limit_of_its_own(housing: Any, serve: Any) -> None:
    """Explaining a row takes as long as predicting hundreds: beyond the limit it is refused, while predicting isn't."""
    server = serve(housing, max_explained=2)
    body = {"instances": [[1.0] * 8] * 3}
    assert server.ask("POST", "/predict", body).status == 200
    answer = server.ask("POST", "/explain", body)
    assert (answer.status, answer.error["code"]) == (422, "too_many_rows")
    assert server.ask("POST", "/explain", {"instances": body["instances"][:2]}).status == 200
