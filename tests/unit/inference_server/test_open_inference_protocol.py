"""The Open Inference Protocol: health, metadata, JSON tensors and raw tensors."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from .model_bundles import NAMES, same_floats, to_lists

INFER = "/v2/models/housing-model/infer"


def matrix(rows: np.ndarray, **changes: Any) -> dict[str, Any]:
    """Write rows as one JSON tensor."""
    tensor = {"name": "input", "datatype": "FP32", "shape": list(rows.shape), "data": to_lists(rows)}
    return {"inputs": [tensor | changes]}


def test_health_and_metadata(housing_bundle: Any, start_server: Any) -> None:
    """Live, ready, who the server is, and which tensors the model takes and gives; also under its version."""
    server = start_server(housing_bundle)
    assert server.send("GET", "/v2/health/live").json == {"live": True}
    assert server.send("GET", "/v2/health/ready").json == {"ready": True}
    assert server.send("GET", "/v2").json["extensions"] == ["binary_tensor_data"]
    for path in ("/v2/models/housing-model", "/v2/models/housing-model/versions/3"):
        assert server.send("GET", f"{path}/ready").status == 200
        model = server.send("GET", path).json
        assert (model["name"], model["versions"]) == ("housing-model", ["3"])
        assert model["inputs"] == [{"name": "input", "datatype": "FP32", "shape": [-1, 8]}]
        assert model["outputs"] == [{"name": "predict", "datatype": "FP32", "shape": [-1]}]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v2/models/other", 404),
        ("POST", "/v2/models/housing-model/versions/4/infer", 404),
        ("GET", "/v2/models/housing-model/infer", 405),
    ],
)
def test_unknown_models_get_the_protocol_error_shape(
    housing_bundle: Any, start_server: Any, method: str, path: str, status: int
) -> None:
    """Another model, another version, another method: the reason is a text under `error`, as clients read it."""
    answer = start_server(housing_bundle).send(method, path)
    assert (answer.status, type(answer.json["error"])) == (status, str)


@pytest.mark.parametrize("nested", [True, False])
def test_json_matrix_is_predicted(housing_bundle: Any, start_server: Any, nested: bool) -> None:
    """One tensor of rows, nested or flat, with nulls; the id comes back."""
    rows = housing_bundle.rows[:6]
    data = to_lists(rows) if nested else [value for row in to_lists(rows) for value in row]
    answer = start_server(housing_bundle).send("POST", INFER, matrix(rows, data=data) | {"id": "42"})
    assert answer.json["model_name"] == "housing-model"
    assert (answer.json["model_version"], answer.json["id"]) == ("3", "42")
    output = answer.json["outputs"][0]
    assert (output["name"], output["datatype"], output["shape"]) == ("predict", "FP32", [6])
    assert same_floats(output["data"], housing_bundle.predict(rows))


@pytest.mark.parametrize("shape", [[5], [5, 1]])
def test_one_tensor_per_feature_is_predicted(housing_bundle: Any, start_server: Any, shape: list[int]) -> None:
    """Columns by name, in any order, of any number type."""
    rows = np.nan_to_num(housing_bundle.rows[:5]).round()
    inputs = [
        {"name": name, "datatype": "INT64", "shape": shape, "data": rows[:, column].astype(int).tolist()}
        for column, name in reversed(list(enumerate(NAMES)))
    ]
    answer = start_server(housing_bundle).send("POST", INFER, {"inputs": inputs})
    assert same_floats(answer.json["outputs"][0]["data"], housing_bundle.predict(rows))


def raw_call(rows: np.ndarray, datatype: str, code: str, **more: Any) -> tuple[bytes, dict[str, str]]:
    """Write rows as one raw tensor; give body and headers."""
    data = rows.astype(code).tobytes()
    tensor = {
        "name": "x",
        "datatype": datatype,
        "shape": list(rows.shape),
        "parameters": {"binary_data_size": len(data)},
    }
    head = json.dumps({"inputs": [tensor], **more}).encode()
    return head + data, {"inference_header_content_length": str(len(head)), "content_type": "application/octet-stream"}


@pytest.mark.parametrize(
    ("datatype", "code"), [("FP32", "<f4"), ("FP64", "<f8"), ("INT32", "<i4"), ("UINT8", "u1"), ("FP16", "<f2")]
)
def test_raw_input_tensors(housing_bundle: Any, start_server: Any, datatype: str, code: str) -> None:
    """Raw little-endian values of every number type, NaN for missing where the type has it."""
    rows = (
        housing_bundle.rows[:7].astype(np.float64)
        if code.startswith("<f")
        else np.abs(np.nan_to_num(housing_bundle.rows[:7])).round()
    )
    rows = rows.astype(code).astype(np.float32)
    body, headers = raw_call(rows, datatype, code)
    answer = start_server(housing_bundle).send("POST", INFER, body, **headers)
    assert same_floats(answer.json["outputs"][0]["data"], housing_bundle.predict(rows))


@pytest.mark.parametrize(
    "more",
    [
        {"parameters": {"binary_data_output": True}},
        {"outputs": [{"name": "predict", "parameters": {"binary_data": True}}]},
    ],
)
def test_raw_output_tensors(train_bundle: Any, start_server: Any, more: dict[str, Any]) -> None:
    """Asked for, the answer's values come raw behind the JSON, with its length in the header."""
    bundle = train_bundle("multi:softprob")
    body, headers = raw_call(bundle.rows[:7], "FP32", "<f4", **more)
    answer = start_server(bundle).send("POST", INFER, body, **headers)
    size = int(answer.headers["inference-header-content-length"])
    output = json.loads(answer.body[:size])["outputs"][0]
    assert output["shape"] == [7, 3]
    assert output["parameters"]["binary_data_size"] == len(answer.body) - size
    assert same_floats(np.frombuffer(answer.body[size:], "<f4"), bundle.predict(bundle.rows[:7]))


ONE = np.ones((1, 8), np.float32)


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        ({}, 422, "inputs: the body needs a list of tensors"),
        ({"inputs": []}, 422, "inputs: the body needs"),
        ({"inputs": [5]}, 422, "inputs[0]: must be a tensor"),
        (matrix(ONE, name=5), 422, "inputs[0].name: must be a string"),
        (matrix(ONE, datatype="BYTES"), 422, "inputs[0].datatype: 'BYTES' is not a numeric datatype"),
        (matrix(ONE, shape=[1, 7]), 422, "inputs[0].shape: must be [rows, 8] (order: median_income,"),
        (matrix(ONE, shape=[8]), 422, "inputs[0].shape: must be [rows, 8]"),
        (matrix(ONE, shape=[0, 8], data=[]), 422, "inputs[0].shape: must be [rows, 8]"),
        (matrix(ONE, shape="8"), 422, "inputs[0].shape: must be a list of lengths"),
        (matrix(ONE, shape=[2, 8]), 422, "inputs[0].data: must be a list of 16 values"),
        (matrix(ONE, data=["x"] * 8), 422, "inputs[0][0].median_income: must be a number or null, is the string 'x'"),
        (matrix(ONE) | {"id": 5}, 422, "id: must be a string"),
        (matrix(ONE) | {"outputs": [{"name": "other"}]}, 404, "outputs[0].name: the only output is 'predict'"),
        (matrix(ONE) | {"outputs": 5}, 422, "outputs: 'parameters' must be"),
        (matrix(ONE, parameters={"binary_data_size": 32}), 400, "the body ends before the 32 bytes"),
        (matrix(ONE, parameters={"binary_data_size": 31}), 422, "is 31, but datatype and shape require 32"),
        ({"inputs": [*matrix(ONE)["inputs"], *matrix(ONE)["inputs"]]}, 422, "inputs[1].name: 'input' is duplicated"),
        ({"inputs": [*matrix(ONE)["inputs"], *matrix(ONE, name="b")["inputs"]]}, 422, "inputs: must be one tensor"),
        ("{", 400, "the body is not JSON"),
    ],
)
def test_invalid_tensors_are_rejected(
    housing_bundle: Any, start_server: Any, body: Any, status: int, words: str
) -> None:
    """The protocol's error is a text; it names the tensor; code, field and request id stand beside it."""
    answer = start_server(housing_bundle).send("POST", INFER, body)
    assert answer.status == status
    assert words in answer.json["error"]
    assert answer.json["request_id"] == answer.headers["x-request-id"]


def test_invalid_raw_bodies_are_rejected(housing_bundle: Any, start_server: Any) -> None:
    """A header length beyond the body, bytes too many, an infinity among raw values."""
    body, headers = raw_call(ONE, "FP32", "<f4")
    server = start_server(housing_bundle)
    for length in ("99999", "x", "-1"):
        answer = server.send("POST", INFER, body, **headers | {"inference_header_content_length": length})
        assert answer.status == 400
    assert "follow the last tensor" in server.send("POST", INFER, body + b"1234", **headers).json["error"]
    for datatype, code in (("FP32", "<f4"), ("FP64", "<f8")):
        body, headers = raw_call(np.array([[1, 2, 3, np.inf, 5, 6, 7, 8]]), datatype, code)
        answer = server.send("POST", INFER, body, **headers)
        assert (answer.status, answer.json["field"]) == (422, "inputs[0][0].total_bedrooms")
