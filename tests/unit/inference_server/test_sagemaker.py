"""SageMaker's container contract: every input form, every answer form, and the Accept header's rules."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from inference_server.errors import NotAcceptableError
from inference_server.protocols.sagemaker import accepted

from .bundles import lists, same_bits


def as_csv(rows: np.ndarray) -> str:
    return "\n".join(",".join("" if value is None else repr(value) for value in row) for row in lists(rows))


def test_ping(housing: Any, serve: Any) -> None:
    """`GET /ping` answers 200 with an empty body."""
    answer = serve(housing).ask("GET", "/ping")
    assert (answer.status, answer.body) == (200, b"")


@pytest.mark.parametrize("headers", [{"content_type": "text/csv"}, {}])
def test_csv_in_csv_out(housing: Any, serve: Any, headers: dict[str, str]) -> None:
    """CSV is understood, also unannounced, and CSV is the answer when nobody asks for more: one line per row."""
    answer = serve(housing).ask("POST", "/invocations", as_csv(housing.rows[:9]), **headers)
    assert (answer.status, answer.headers["content-type"]) == (200, "text/csv")
    assert answer.body.endswith(b"\n")
    assert same_bits([float(line) for line in answer.body.split()], housing.predict(housing.rows[:9]))


@pytest.mark.parametrize("label", ["", "1 "])
@pytest.mark.parametrize("media_type", ["text/libsvm", "text/x-libsvm"])
def test_libsvm(housing: Any, serve: Any, label: str, media_type: str) -> None:
    """Columns count from 0, a label is passed over, what is left out is missing."""
    lines = [
        label + " ".join(f"{column}:{value!r}" for column, value in enumerate(row) if value is not None)
        for row in lists(housing.rows[:9])
    ]
    answer = serve(housing).ask("POST", "/invocations", "\n".join(lines), content_type=media_type)
    assert same_bits([float(line) for line in answer.body.split()], housing.predict(housing.rows[:9]))


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("0:1 8:2", "has column '8'; the model's are 0 to 7"),
        ("0:1 -1:2", "has column '-1'"),
        ("1 0:one", "has '0:one' where column:value must stand"),
        ("1 2", "has '2' where"),
        ("1", "has no column:value"),
        ("1 :2", "has column ''"),
        ("{}", "has '{}' where"),
        ("0:1\n\n0:1", "line 2: has no column:value"),
        ("", "there is no row"),
        ("0:1 3:2 0:1", "line 1: has a column twice"),
        ("0:1_000", "has '0:1_000' where"),
        ("0:inf", "must be a finite number"),
    ],
)
def test_wrong_libsvm_is_refused(housing: Any, serve: Any, body: str, words: str) -> None:
    """Nothing is guessed in libsvm either."""
    answer = serve(housing).ask("POST", "/invocations", body, content_type="text/libsvm")
    assert answer.status == 422
    assert words in f"{answer.error['field']}: {answer.error['message']}"


def test_json_in_json_out(housing: Any, serve: Any) -> None:
    """JSON instances, and scores in the shape of SageMaker's container."""
    body = {"instances": lists(housing.rows[:3])}
    answer = serve(housing).ask(
        "POST", "/invocations", body, content_type="application/json", accept="application/json"
    )
    assert set(answer.json) == {"predictions"}
    assert same_bits([each["score"] for each in answer.json["predictions"]], housing.predict(housing.rows[:3]))


def test_json_lines_in_json_lines_out(trained: Any, serve: Any) -> None:
    """One row per line, one score per line; with several classes a score is a list."""
    bundle = trained("multi:softprob")
    body = "\n".join(map(json.dumps, lists(bundle.rows[:3])))
    kind = "application/jsonlines"
    answer = serve(bundle).ask("POST", "/invocations", body, content_type=kind, accept=kind)
    assert answer.headers["content-type"] == kind
    assert same_bits([json.loads(line)["score"] for line in answer.body.splitlines()], bundle.predict(bundle.rows[:3]))
    answer = serve(bundle).ask("POST", "/invocations", body, content_type=kind)
    assert same_bits(
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
def test_accept_chooses(accept: str, media_type: str) -> None:
    """Preference by quality, wildcards, and CSV where the client leaves it open."""
    assert accepted(accept) == media_type


@pytest.mark.parametrize("accept", ["text/html", "application/xml;q=1", "text/csv;q=0"])
def test_nothing_acceptable_is_406(housing: Any, serve: Any, accept: str) -> None:
    """A client that takes nothing of what there is hears so, before any work."""
    with pytest.raises(NotAcceptableError):
        accepted(accept)
    answer = serve(housing).ask("POST", "/invocations", "1,2", accept=accept)
    assert (answer.status, answer.error["code"]) == (406, "not_acceptable")


def test_wrong_rows_and_types_are_refused(housing: Any, serve: Any) -> None:
    """A row too short is 422, an unknown form 415."""
    answer = serve(housing).ask("POST", "/invocations", "1,2,3,4,5,6,7", content_type="text/csv")
    assert (answer.status, answer.error["field"]) == (422, "row[0].longitude")
    answer = serve(housing).ask("POST", "/invocations", b"\0", content_type="application/x-recordio-protobuf")
    assert answer.status == 415
