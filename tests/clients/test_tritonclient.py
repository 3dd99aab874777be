"""The Open Inference Protocol, spoken by NVIDIA's Triton client."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import tritonclient.http as triton
from tritonclient.utils import InferenceServerException

from tests.unit.inference_server.model_bundles import NAMES, Bundle, same_floats

Connect = Callable[[Bundle], triton.InferenceServerClient]
OBJECTIVES = ["reg:squarederror", "binary:logistic", "multi:softprob"]


@pytest.fixture
def connect(start_server: Any) -> Iterator[Connect]:
    """Give a client of a bundle's server."""
    clients = []

    def client(bundle: Bundle) -> triton.InferenceServerClient:
        clients.append(triton.InferenceServerClient(f"127.0.0.1:{start_server(bundle).port}"))
        return clients[-1]

    yield client
    for each in clients:
        each.close()


def matrix(rows: np.ndarray, binary: bool, datatype: str = "FP32") -> list[triton.InferInput]:
    """All features in one tensor."""
    tensor = triton.InferInput("input", list(rows.shape), datatype)
    tensor.set_data_from_numpy(rows, binary_data=binary)
    return [tensor]


def columns(rows: np.ndarray, binary: bool) -> list[triton.InferInput]:
    """One tensor per feature, the last feature first."""
    tensors = []
    for column, name in reversed(list(enumerate(NAMES))):
        tensors.append(triton.InferInput(name, [len(rows)], "FP32"))
        tensors[-1].set_data_from_numpy(np.ascontiguousarray(rows[:, column]), binary_data=binary)
    return tensors


def test_health_and_metadata(housing_bundle: Any, connect: Connect) -> None:
    """The client finds server and model live and ready, by name and by version, and reads the tensors' description."""
    client = connect(housing_bundle)
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.get_server_metadata()["extensions"] == ["binary_tensor_data"]
    for version in ("", "3"):
        assert client.is_model_ready("housing-model", version)
        model = client.get_model_metadata("housing-model", version)
        assert (model["name"], model["versions"]) == ("housing-model", ["3"])
        assert model["inputs"] == [{"name": "input", "datatype": "FP32", "shape": [-1, 8]}]
    assert not client.is_model_ready("housing-model", "4")
    assert not client.is_model_ready("another")


@pytest.mark.parametrize("version", ["", "3"])
@pytest.mark.parametrize("raw_out", [True, False])
@pytest.mark.parametrize("raw_in", [True, False])
@pytest.mark.parametrize("inputs", [matrix, columns])
@pytest.mark.parametrize("objective", OBJECTIVES)
def test_predictions(
    train_bundle: Any, connect: Connect, objective: str, inputs: Any, raw_in: bool, raw_out: bool, version: str
) -> None:
    """One tensor or one per feature, JSON or raw, in and out, with or without the version: the package's own bits."""
    bundle = train_bundle(objective)
    rows = bundle.rows[:33] if raw_in else np.nan_to_num(bundle.rows[:33])  # the client's JSON has no missing value
    result = connect(bundle).infer(
        "housing-model",
        inputs(rows, raw_in),
        model_version=version,
        outputs=[triton.InferRequestedOutput("predict", binary_data=raw_out)],
        request_id="client-7",
    )
    values = result.as_numpy("predict")
    assert values.dtype == np.float32
    assert same_floats(values, bundle.predict(rows))
    answer = result.get_response()
    assert (answer["model_name"], answer["model_version"], answer["id"]) == ("housing-model", "3", "client-7")


@pytest.mark.parametrize("rows", [2, 5000])
@pytest.mark.parametrize("algorithm", ["gzip", "deflate"])
def test_compressed_requests(housing_bundle: Any, connect: Connect, algorithm: str, rows: int) -> None:
    """A compressed body is read, small or large; a client that would take a compressed answer gets one it can read."""
    batch = np.resize(housing_bundle.rows, (rows, 8))
    result = connect(housing_bundle).infer(
        "housing-model",
        matrix(batch, binary=True),
        request_compression_algorithm=algorithm,
        response_compression_algorithm=algorithm,
    )
    assert same_floats(result.as_numpy("predict"), housing_bundle.predict(batch))


TYPES = ["FP64", "INT8", "INT32", "INT64", "UINT8", "UINT64"]


@pytest.mark.parametrize(
    ("datatype", "binary"), [("FP16", True), *((kind, binary) for kind in TYPES for binary in (True, False))]
)
def test_datatypes(housing_bundle: Any, connect: Connect, datatype: str, binary: bool) -> None:
    """Whatever type of number the client holds, the model sees the same values."""
    kind = np.dtype(datatype.lower().replace("fp", "float"))
    rows = np.abs(np.nan_to_num(housing_bundle.rows[:9]) * 9).astype(kind)
    result = connect(housing_bundle).infer("housing-model", matrix(rows, binary, datatype))
    assert same_floats(result.as_numpy("predict"), housing_bundle.predict(rows.astype(np.float32)))


def test_concurrent_requests(housing_bundle: Any, start_server: Any) -> None:
    """Requests that the client has under way together get each their own rows' values."""
    client = triton.InferenceServerClient(f"127.0.0.1:{start_server(housing_bundle).port}", concurrency=8)
    expected = housing_bundle.predict(housing_bundle.rows)
    pending = {
        start: client.async_infer("housing-model", matrix(housing_bundle.rows[start : start + 3], binary=True))
        for start in range(0, 300, 3)
    }
    for start, answer in pending.items():
        assert same_floats(answer.get_result().as_numpy("predict"), expected[start : start + 3])
    client.close()


@pytest.mark.parametrize(
    ("rows", "model", "status", "words"),
    [
        (np.zeros((2, 7), np.float32), "housing-model", "422", "must be [rows, 8]"),
        (np.full((2, 8), np.inf, np.float32), "housing-model", "422", "must be a finite number"),
        (np.zeros((2, 8), np.float32), "another", "404", "no route at this path"),
    ],
)
def test_errors_reach_the_caller(
    housing_bundle: Any, connect: Connect, rows: np.ndarray, model: str, status: str, words: str
) -> None:
    """What the server refuses, the client raises, with the status and the reason in words."""
    with pytest.raises(InferenceServerException) as caught:
        connect(housing_bundle).infer(model, matrix(rows, binary=True))
    assert caught.value.status() == status
    assert words in str(caught.value)
