"""Whatever the body: a protocol reads whole rows out of it, or refuses it with a RequestError.

Nothing else ever happens.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from inference_server import model as models
from inference_server.errors import RequestError
from inference_server.http_messages import HttpRequest, PredictionRequest
from inference_server.model import Model
from inference_server.protocols.open_inference import OpenInferenceProtocol
from inference_server.protocols.predict import PredictProtocol
from inference_server.protocols.sagemaker import InvocationsProtocol
from inference_server.protocols.seed import SeedProtocol

from .model_bundles import NAMES

MEDIA_TYPES = ["", "application/json", "text/csv", "application/jsonlines", "text/libsvm", "text/plain; charset=x", "é"]
# Values that fit, values that nearly do, and the rest.
fitting = st.none() | st.integers(0, 9) | st.integers(0, 9).map(float)
numbers = fitting | st.floats() | st.integers(-(10**40), 10**40) | st.sampled_from([0.5, -1, 2**24, 1e39, 3.5e38])
cells = numbers | st.booleans() | st.text(max_size=5) | st.lists(numbers, max_size=2)
good_rows = st.lists(st.lists(fitting, min_size=8, max_size=8), min_size=1, max_size=3)
row = (
    st.lists(fitting, min_size=8, max_size=8) | st.lists(numbers, min_size=8, max_size=8) | st.lists(cells, max_size=9)
)
named = st.fixed_dictionaries(dict.fromkeys(NAMES, fitting)) | st.dictionaries(
    st.sampled_from(NAMES) | st.text(), cells
)
rows = good_rows | st.lists(row, max_size=3) | st.lists(named, max_size=3) | st.lists(row | named | cells, max_size=3)


def as_csv(lines: list[list[Any]]) -> str:
    return "\n".join(",".join("" if value is None else str(value) for value in line) for line in lines)


def as_tensor(lines: list[list[Any]]) -> dict[str, Any]:
    return {"inputs": [{"name": "x", "datatype": "FP32", "shape": [len(lines), 8], "data": lines}]}


def as_libsvm(lines: list[list[Any]]) -> str:
    return "\n".join(" ".join(f"{i}:{value}" for i, value in enumerate(line) if value is not None) for line in lines)


tensor = st.fixed_dictionaries(
    {
        "name": st.sampled_from(NAMES) | cells,
        "datatype": st.sampled_from(["FP32", "FP64", "INT8", "BOOL"]) | cells,
        "shape": st.sampled_from([[1, 8], [2, 8], [1], [8], [0, 8], [10**9, 8]]) | cells,
    },
    optional={
        "data": rows | row | cells,
        "parameters": st.fixed_dictionaries({"binary_data_size": st.sampled_from([32, 64, 0]) | cells}),
    },
)
csv_call = st.fixed_dictionaries(
    {"pred_x_csv": good_rows.map(as_csv) | st.text("0123456789.,-e\n nainf") | cells},
    optional={"response_content_type": st.just("text/plain") | cells},
)
tensors = st.fixed_dictionaries(
    {"inputs": st.lists(tensor, max_size=2) | cells}, optional={"outputs": cells, "id": cells, "parameters": cells}
)
documents = st.one_of(
    rows,
    st.fixed_dictionaries({"instances": rows | cells}),
    csv_call,
    tensors,
    good_rows.map(as_tensor),
    st.recursive(
        cells,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
        max_leaves=8,
    ),
)
texts = st.one_of(
    good_rows.map(as_csv),
    good_rows.map(as_libsvm),
    st.lists(row, max_size=3).map(as_csv),
    st.lists(documents.map(json.dumps), max_size=3).map("\n".join),
    st.text("0123456789:., -e\n\"'infa\x00", max_size=60),
)
bodies = st.one_of(
    documents.map(json.dumps).map(str.encode),
    texts.map(str.encode),
    st.tuples(documents.map(json.dumps).map(str.encode), st.binary(max_size=70)).map(b"".join),
    st.binary(max_size=80),
)


@pytest.fixture(scope="module", params=[False, True])
def model(request: Any, train_bundle: Any) -> Model:
    """A plain model and one with a categorical feature."""
    return models.load(train_bundle("reg:squarederror", **({"categorical": True} if request.param else {})).directory)


@pytest.mark.parametrize("protocol", [PredictProtocol, SeedProtocol, InvocationsProtocol, OpenInferenceProtocol])
@settings(
    max_examples=100, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture], deadline=None
)
@given(
    body=bodies,
    kind=st.sampled_from(MEDIA_TYPES),
    accept=st.sampled_from(["", "*/*", "a/b;q=", ",;"]),
    part=st.integers(0, 90),
)
def test_any_body_gives_finite_rows_or_a_request_error(
    model: Model, protocol: Callable[[Model], Any], body: bytes, kind: str, accept: str, part: int
) -> None:
    """What is read are whole rows without infinities; the prediction of it can be phrased."""
    headers = {"Content-Type": kind, "Accept": accept}
    if part and protocol is OpenInferenceProtocol:
        headers["Inference-Header-Content-Length"] = str(part)
    try:
        prediction: PredictionRequest = protocol(model).read(HttpRequest(body, headers))
    except RequestError:
        return
    data, count = prediction.rows.data, prediction.rows.count
    assert len(data) == count * 8 * 4 > 0
    assert float("inf") not in map(abs, struct.unpack(f"<{count * 8}f", data))
    assert prediction.to_response(model.engine.predict(data, count)).body


def test_property_check_detects_a_leaked_infinity(housing_bundle: Any) -> None:
    """The check above fails for a protocol that lets an infinity through."""
    model = models.load(housing_bundle.directory)

    class LeakyProtocol(PredictProtocol):
        def read(self, call: HttpRequest) -> PredictionRequest:
            prediction = super().read(call)
            return replace(
                prediction, rows=replace(prediction.rows, data=struct.pack("<8f", *[float("inf")] * 8), count=1)
            )

    check = test_any_body_gives_finite_rows_or_a_request_error.hypothesis.inner_test  # type: ignore[attr-defined]
    body = json.dumps([[1] * 8]).encode()
    with pytest.raises(AssertionError):
        check(model, LeakyProtocol, body, "", "", 0)
