"""The contract of the Flask server that Moorage takes the place of, to the letter."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from inference_server.protocols.seed import _shortest_text

ROW = "8.3252,41,880,129,322,126,37.88,-122.23"


def expected_text(housing_bundle: Any) -> str:
    return str(housing_bundle.predict(np.array([list(map(float, ROW.split(",")))], dtype=np.float32))[0])


@pytest.mark.parametrize("request_type", ["application/json", "text/plain"])
def test_json_and_text_answers(housing_bundle: Any, start_server: Any, request_type: str) -> None:
    """The body is JSON whatever its type says; the value is written as NumPy writes a 32-bit float."""
    call = {"response_content_type": "application/json", "pred_x_csv": ROW}
    answer = start_server(housing_bundle).send("POST", "/", call, content_type=request_type)
    assert (answer.status, answer.headers["content-type"]) == (200, "application/json")
    assert answer.body == json.dumps({"Predicted value": expected_text(housing_bundle)}).encode()
    answer = start_server(housing_bundle).send(
        "POST", "/", call | {"response_content_type": "text/plain"}, content_type=request_type
    )
    assert (answer.status, answer.headers["content-type"]) == (200, "text/plain")
    assert answer.body == expected_text(housing_bundle).encode()


def test_answer_defaults_to_json(housing_bundle: Any, start_server: Any) -> None:
    """An absent or unknown response type means JSON."""
    for extra in ({}, {"response_content_type": "text/html"}):
        answer = start_server(housing_bundle).send("POST", "/", {"pred_x_csv": ROW, **extra})
        assert answer.json == {"Predicted value": expected_text(housing_bundle)}


def test_missing_values_and_further_rows(housing_bundle: Any, start_server: Any) -> None:
    """An empty cell is a missing value; of several rows the first is answered."""
    one = start_server(housing_bundle).send("POST", "/", {"pred_x_csv": "8.3252,,880,129,322,126,37.88,nan"})
    row = np.array([[8.3252, np.nan, 880, 129, 322, 126, 37.88, np.nan]], dtype=np.float32)
    assert one.json == {"Predicted value": str(housing_bundle.predict(row)[0])}
    assert start_server(housing_bundle).send("POST", "/", {"pred_x_csv": f"{ROW}\n1,2,3,4,5,6,7,8"}).json == {
        "Predicted value": expected_text(housing_bundle)
    }


@pytest.mark.parametrize(
    ("call", "words"),
    [
        ({"pred_x_csv": ""}, "Empty string in x columns"),
        ({}, "Empty string in x columns"),
        ({"pred_x_csv": "a,b,c,d,e,f,g,h"}, "Invalid data in x columns"),
        ({"pred_x_csv": 5}, "Invalid data in x columns"),
    ],
)
def test_errors_keep_the_contract_messages(
    housing_bundle: Any, start_server: Any, call: dict[str, Any], words: str
) -> None:
    """400, in JSON or in text as asked for, in the contract's own words."""
    answer = start_server(housing_bundle).send("POST", "/", call)
    assert (answer.status, answer.json) == (400, {"Error": words})
    answer = start_server(housing_bundle).send("POST", "/", call | {"response_content_type": "text/plain"})
    assert (answer.status, answer.headers["content-type"], answer.body) == (400, "text/plain", words.encode())


def test_incorrectly_handled_input_is_rejected(housing_bundle: Any, start_server: Any) -> None:
    """7 of 8 values, or a body that is no JSON: an error in its shape instead of a wrong 200 or a 500."""
    answer = start_server(housing_bundle).send("POST", "/", {"pred_x_csv": ROW.rpartition(",")[0]})
    assert answer.status == 400
    assert "no value for 'longitude'" in answer.json["Error"]
    for body in ("{", "[]"):
        answer = start_server(housing_bundle).send("POST", "/", body)
        assert (answer.status, set(answer.json)) == (400, {"Error"})


def test_healthcheck_is_ok(housing_bundle: Any, start_server: Any) -> None:
    """`GET /healthcheck` answers OK as plain text."""
    answer = start_server(housing_bundle).send("GET", "/healthcheck")
    assert (answer.status, answer.headers["content-type"], answer.body) == (200, "text/plain", b"OK")


def test_numbers_are_written_as_numpy_writes_them() -> None:
    """Over the magnitudes that NumPy's releases agree on, the text is that of str() of a 32-bit float."""
    random = np.random.default_rng(3)
    values = (random.uniform(-9, 9, 3000) * 10.0 ** random.integers(-3, 5, 3000)).astype(np.float32)
    for value in (*values, *np.array([0, -0.0, 1, 0.1, 0.25, 999999, 452600.44], np.float32)):
        if value == 0 or abs(value) >= 1e-3:
            assert _shortest_text(float(value)) == str(value)


def test_numbers_round_trip() -> None:
    """Up to the ends of the range, the text gives the same 32-bit float again."""
    random = np.random.default_rng(4)
    values = (random.normal(size=3000) * 10.0 ** random.integers(-30, 30, 3000)).astype(np.float32)
    for value in (*values, np.finfo("f4").max, np.finfo("f4").tiny, np.float32(1e-45)):
        assert np.float32(_shortest_text(float(value))) == value
