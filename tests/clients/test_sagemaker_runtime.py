"""`/invocations` behind boto3's InvokeEndpoint, as an application asks a SageMaker endpoint."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import boto3
import numpy as np
import pytest
from botocore.config import Config

from tests.unit.inference_server.model_bundles import same_floats, to_lists


def strip_endpoint_path(request: Any, **_: Any) -> None:
    """Do what SageMaker does between its API and a container: the endpoint's name is no longer in the path."""
    request.url = request.url.replace("/endpoints/housing/invocations", "/invocations")


def runtime_client(port: int) -> Any:
    """A client whose calls go to the server."""
    session = boto3.Session("AKIAIOSFODNN7EXAMPLE", "example", region_name="us-east-1")
    settings = Config(retries={"total_max_attempts": 1}, proxies={})
    client = session.client("sagemaker-runtime", endpoint_url=f"http://127.0.0.1:{port}", config=settings)
    client.meta.events.register("before-send.sagemaker-runtime.InvokeEndpoint", strip_endpoint_path)
    return client


def csv(rows: np.ndarray) -> str:
    return "\n".join(",".join("" if value is None else repr(value) for value in row) for row in to_lists(rows))


def libsvm(rows: np.ndarray) -> str:
    return "\n".join(" ".join(f"{i}:{v!r}" for i, v in enumerate(row) if v is not None) for row in to_lists(rows))


def json_lines(rows: np.ndarray) -> str:
    return "\n".join(map(json.dumps, to_lists(rows)))


def instances(rows: np.ndarray) -> str:
    return json.dumps({"instances": to_lists(rows)})


def read_csv(text: str) -> Any:
    return [list(map(float, line.split(","))) for line in text.splitlines()]


def read_json(text: str) -> Any:
    return [each["score"] for each in json.loads(text)["predictions"]]


def read_json_lines(text: str) -> Any:
    return [json.loads(line)["score"] for line in text.splitlines()]


FORMS: list[tuple[str, Callable[[np.ndarray], str]]] = [
    ("text/csv", csv),
    ("text/libsvm", libsvm),
    ("application/json", instances),
    ("application/jsonlines", json_lines),
]
ANSWERS: list[tuple[str, Callable[[str], Any]]] = [
    ("", read_csv),
    ("text/csv", read_csv),
    ("application/json", read_json),
    ("application/jsonlines", read_json_lines),
]


@pytest.mark.parametrize("objective", ["reg:squarederror", "multi:softprob"])
@pytest.mark.parametrize(("accept", "read"), ANSWERS)
@pytest.mark.parametrize(("content_type", "write"), FORMS)
def test_invoke_endpoint(
    train_bundle: Any, start_server: Any, content_type: str, write: Any, accept: str, read: Any, objective: str
) -> None:
    """Every form in with every form out, CSV where nobody asks for another: the package's own bits."""
    bundle = train_bundle(objective)
    rows = bundle.rows[:40]
    accept_argument = {"Accept": accept} if accept else {}
    answer = runtime_client(start_server(bundle).port).invoke_endpoint(
        EndpointName="housing", Body=write(rows), ContentType=content_type, **accept_argument
    )
    assert answer["ContentType"] == (accept or "text/csv")
    assert same_floats(np.ravel(read(answer["Body"].read().decode())), np.ravel(bundle.predict(rows)))
