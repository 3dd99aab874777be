"""SageMaker's container contract: every input form, every answer form, and the Accept header's rules."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from inference_server.errors import NotAcceptableError
from inference_server.protocols.sagemaker import choose_media_type

from .model_bundles import same_floats, to_lists


def as_csv(rows: np.ndarray) -> str:
    return "\n".join(",".join("" if value is None else repr(value) for value in row) for row in to_lists(rows))


def test_ping_is_empty_and_ok(housing_bundle: Any, start_server: Any) -> None:
    """`GET /ping` answers 200 with an empty body."""
    answer = start_server(housing_bundle).send("GET", "/ping")
    assert (answer.status, answer.body) == (200, b"")


@pytest.mark.parametrize("headers", [{"content_type": "text/csv"}, {}])
def test_csv_in_csv_out(housing_bundle: Any, start_server: Any, headers: dict[str, str]) -> None:
    """CSV is understood, also unannounced, and CSV is the answer when nobody asks for more: one line per row."""
    answer = start_server(housing_bundle).send("POST", "/invocations", as_csv(housing_bundle.rows[:9]), **headers)
    assert (answer.status, answer.headers["content-type"]) == (200, "text/csv")
    assert answer.body.endswith(b"\n")
    assert same_floats([float(line) for line in answer.body.split()], housing_bundle.predict(housing_bundle.rows[:9]))


@pytest.mark.parametrize("label", ["", "1 "])
@pytest.mark.parametrize("media_type", ["text/libsvm", "text/x-libsvm"])
def test_libsvm_is_predicted(housing_bundle: Any, start_server: Any, label: str, media_type: str) -> None:
    """Columns count from 0, a label is passed over, what is left out is missing."""
    lines = [
        label + " ".join(f"{column}:{value!r}" for column, value in enumerate(row) if value is not None)
        for row in to_lists(housing_bundle.rows[:9])
    ]
    answer = start_server(housing_bundle).send("POST", "/invocations", "\n".join(lines), content_type=media_type)
    assert same_floats([float(line) for line in answer.body.split()], housing_bundle.predict(housing_bundle.rows[:9]))


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("0:1 8:2", "has column '8'; the model has columns 0 to 7"),
        ("0:1 -1:2", "has column '-1'"),
        ("1 0:one", "has '0:one' where column:value is expected"),
        ("1 2", "has '2' where"),
        ("1", "has no column:value"),
        ("1 :2", "has column ''"),
        ("{}", "has '{}' where"),
        ("0:1\n\n0:1", "line 2: has no column:value"),
        ("", "the body has no rows"),
        ("0:1 3:2 0:1", "line 1: has a duplicate column"),
        ("0:1_000", "has '0:1_000' where"),
        ("0:inf", "must be a finite number"),
    ],
)
def test_invalid_libsvm_is_rejected(housing_bundle: Any, start_server: Any, body: str, words: str) -> None:
    """Nothing is guessed in libsvm either."""
    answer = start_server(housing_bundle).send("POST", "/invocations", body, content_type="text/libsvm")
    assert answer.status == 422
    assert words in f"{answer.error['field']}: {answer.error['message']}"


def test_json_in_json_out(housing_bundle: Any, start_server: Any) -> None:
    """JSON instances, and scores in the shape of SageMaker's container."""
    body = {"instances": to_lists(housing_bundle.rows[:3])}
    answer = start_server(housing_bundle).send(
        "POST", "/invocations", body, content_type="application/json", accept="application/json"
    )
    assert set(answer.json) == {"predictions"}
    assert same_floats(
        [each["score"] for each in answer.json["predictions"]], housing_bundle.predict(housing_bundle.rows[:3])
    )


def test_json_lines_in_json_lines_out(train_bundle: Any, start_server: Any) -> None:
    """One row per line, one score per line; with several classes a score is a list."""
    bundle = train_bundle("multi:softprob")
    body = "\n".join(map(json.dumps, to_lists(bundle.rows[:3])))
    kind = "application/jsonlines"
    answer = start_server(bundle).send("POST", "/invocations", body, content_type=kind, accept=kind)
    assert answer.headers["content-type"] == kind
    assert same_floats(
        [json.loads(line)["score"] for line in answer.body.splitlines()], bundle.predict(bundle.rows[:3])
    )
    answer = start_server(bundle).send("POST", "/invocations", body, content_type=kind)
    assert same_floats(
        [list(map(float, line.split(b","))) for line in answer.body.splitlines()], bundle.predict(bundle.rows[:3])
    )


@pytest.mark.parametrize(
    ("accept", "media_type"),
    [
        ("", "text/csv"),
        ("*/*", "text/csv"),
        ("text/*", "text/csv"),
        ("application/*", "application/json"),
        ("application/json", "application/json"),
        ("application/json;q=0.5, text/csv;q=0.9", "text/csv"),
        ("text/html, application/json;q=0.9, */*;q=0.1", "application/json"),
        ("text/csv;q=0, application/jsonlines", "application/jsonlines"),
        ("application/json; charset=utf-8", "application/json"),
        ("application/x-ndjson", "application/x-ndjson"),
        ("text/html;q=nonsense, text/csv", "text/csv"),
    ],
)
def test_accept_header_selects_the_media_type(accept: str, media_type: str) -> None:
    """Preference by quality, wildcards, and CSV where the client leaves it open."""
    assert choose_media_type(accept) == media_type


@pytest.mark.parametrize("accept", ["text/html", "application/xml;q=1", "text/csv;q=0"])
def test_nothing_acceptable_is_406(housing_bundle: Any, start_server: Any, accept: str) -> None:
    """A client that takes nothing of what there is hears so, before any work."""
    with pytest.raises(NotAcceptableError):
        choose_media_type(accept)
    answer = start_server(housing_bundle).send("POST", "/invocations", "1,2", accept=accept)
    assert (answer.status, answer.error["code"]) == (406, "not_acceptable")


def test_invalid_rows_and_media_types_are_rejected(housing_bundle: Any, start_server: Any) -> None:
    """A row too short is 422, an unknown form 415."""
    answer = start_server(housing_bundle).send("POST", "/invocations", "1,2,3,4,5,6,7", content_type="text/csv")
    assert (answer.status, answer.error["field"]) == (422, "row[0].longitude")
    answer = start_server(housing_bundle).send(
        "POST", "/invocations", b"\0", content_type="application/x-recordio-protobuf"
    )
    assert answer.status == 415
