"""`POST /predict`: right rows get the model's own predictions, wrong rows are refused with the field named."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xgboost as xgb

from inference_server.manifest import ModelFile

from .model_bundles import NAMES, same_floats, to_lists

ROW = [8.3, 41.0, 880.0, 129.0, 322.0, 126.0, 37.88, -122.23]


def test_lists_are_predicted(housing_bundle: Any, start_server: Any) -> None:
    """Rows with nulls, in the model's order: the very bits of the xgboost package, and who answered."""
    answer = start_server(housing_bundle).send("POST", "/predict", {"instances": to_lists(housing_bundle.rows[:50])})
    assert answer.status == 200
    assert answer.headers["content-type"] == "application/json"
    assert same_floats(answer.json["predictions"], housing_bundle.predict(housing_bundle.rows[:50]))
    assert answer.json["model"] == {"name": "housing-model", "version": 3}


def test_objects_are_predicted_in_any_key_order(housing_bundle: Any, start_server: Any) -> None:
    """Rows by feature name, whatever their order, wrapped in 'instances' or bare."""
    rows = [dict(reversed(list(zip(NAMES, row, strict=True)))) for row in to_lists(housing_bundle.rows[:3])]
    for body in ({"instances": rows}, rows):
        answer = start_server(housing_bundle).send("POST", "/predict", body)
        assert same_floats(answer.json["predictions"], housing_bundle.predict(housing_bundle.rows[:3]))


@pytest.mark.parametrize("header", [False, True])
def test_csv_is_predicted(housing_bundle: Any, start_server: Any, header: bool) -> None:
    """Comma-separated rows, empty cells missing, with or without a header in an order of its own."""
    order = list(range(8))
    if header:
        order = [3, 1, 0, 2, 7, 6, 5, 4]
    lines = [",".join(NAMES[i] for i in order)] if header else []
    lines += [
        ",".join("" if row[i] is None else repr(row[i]) for i in order) for row in to_lists(housing_bundle.rows[:9])
    ]
    answer = start_server(housing_bundle).send(
        "POST", "/predict", "\r\n".join(lines) + "\r\n", content_type="text/csv; charset=utf-8"
    )
    assert same_floats(answer.json["predictions"], housing_bundle.predict(housing_bundle.rows[:9]))


@pytest.mark.parametrize("last", ["1.5", "+1.5", "0001.50", "1.5e0", ".15e1", " 1.5\t"])
def test_large_csv_is_parsed_in_chunks(housing_bundle: Any, start_server: Any, last: str) -> None:
    """Thousands of rows of numbers give what they would give in JSON, however the last number is written."""
    rows = [[index + column / 7 for column in range(8)] for index in range(2_000)]
    rows[-1][-1] = 1.5
    lines = [",".join(map(repr, row)) for row in rows]
    lines[-1] = lines[-1].removesuffix("1.5") + last
    server = start_server(housing_bundle)
    answer = server.send("POST", "/predict", "\n".join(lines), content_type="text/csv")
    assert answer.json["predictions"] == server.send("POST", "/predict", {"instances": rows}).json["predictions"]


@pytest.mark.parametrize("wrong", ["1e39", "1-2", "1.2.3", "inf"])
def test_errors_in_large_csv_name_the_row(housing_bundle: Any, start_server: Any, wrong: str) -> None:
    """The place is counted through all pieces."""
    lines = ["1.5,2,3,4,5,6,7,8"] * 2_000
    lines[1_900] = f"1,2,3,4,{wrong},6,7,8"
    answer = start_server(housing_bundle).send("POST", "/predict", "\n".join(lines), content_type="text/csv")
    assert (answer.status, answer.error["field"]) == (422, f"row[1900].{NAMES[4]}")


def test_json_lines_are_predicted(housing_bundle: Any, start_server: Any) -> None:
    """One row per line."""
    body = "\n".join(map(json.dumps, to_lists(housing_bundle.rows[:4]))) + "\n"
    answer = start_server(housing_bundle).send("POST", "/predict", body, content_type="application/jsonlines")
    assert same_floats(answer.json["predictions"], housing_bundle.predict(housing_bundle.rows[:4]))


def test_ten_thousand_rows_are_predicted(housing_bundle: Any, start_server: Any) -> None:
    """10,000 rows in one request, parsed and predicted aside from the event loop."""
    rows = np.resize(housing_bundle.rows, (10_000, 8))
    answer = start_server(housing_bundle).send("POST", "/predict", {"instances": to_lists(rows)})
    assert same_floats(answer.json["predictions"], housing_bundle.predict(rows))


def test_multi_class_gives_a_list_per_row(train_bundle: Any, start_server: Any) -> None:
    """Probabilities stand in one list per row, one per class."""
    bundle = train_bundle("multi:softprob")
    answer = start_server(bundle).send("POST", "/predict", {"instances": to_lists(bundle.rows[:3])})
    assert same_floats(answer.json["predictions"], bundle.predict(bundle.rows[:3]))
    assert [len(row) for row in answer.json["predictions"]] == [3, 3, 3]


def row_with(index: int, value: Any) -> list[Any]:
    return [*ROW[:index], value, *ROW[index + 1 :]]


NAMED = json.dumps(dict(zip(NAMES, ROW, strict=True)))


@pytest.mark.parametrize(
    ("body", "media_type"),
    [
        (f'{{"instances": [{ROW}], "instances": [{ROW}]}}', "application/json"),
        (f'{{"instances": [{NAMED}], "instances": [{NAMED}]}}', "application/json"),
        (f'[{NAMED}, {NAMED[:-1]}, "latitude": 1}}]', "application/json"),
        (f'{NAMED}\n{NAMED[:-1]}, "latitude": 1}}', "application/jsonlines"),
        (f'{NAMED[:-1]}, "latitude": null}}', "application/jsonlines"),
    ],
)
def test_duplicate_names_are_rejected(housing_bundle: Any, start_server: Any, body: str, media_type: str) -> None:
    """Which of the two values is meant nobody knows."""
    answer = start_server(housing_bundle).send("POST", "/predict", body, content_type=media_type)
    assert (answer.status, answer.error["message"]) == (422, "an object has a duplicate name")


def test_colons_in_names_are_not_duplicates(train_bundle: Any, start_server: Any, tmp_path: Path) -> None:
    """Names may have colons of their own; with them, too, a second value for one is refused."""
    bundle = train_bundle()
    names = [f"{name}:x:" for name in NAMES]
    booster = xgb.Booster(model_file=bytearray(bundle.booster.save_raw("ubj")))
    booster.feature_names = names
    raw = bytes(booster.save_raw("ubj"))
    features = tuple(replace(each, name=name) for each, name in zip(bundle.manifest.features, names, strict=True))
    model = ModelFile(hashlib.sha256(raw).hexdigest(), len(raw))
    bundle = replace(
        bundle, directory=bundle.write(tmp_path, replace(bundle.manifest, features=features, model=model), raw)
    )
    row = json.dumps(dict(zip(names, ROW, strict=True)))
    assert start_server(bundle).send("POST", "/predict", f'{{"instances": [{row}, {row}]}}').status == 200
    assert start_server(bundle).send("POST", "/predict", f'[{row[:-1]}, "latitude:x:": 1}}]').status == 422


@pytest.mark.parametrize(
    ("body", "status", "field", "words"),
    [
        (
            {"instances": [ROW, ROW[:7]]},
            422,
            "instances[1].longitude",
            "has 7 values, the model takes 8: no value for 'longitude'",
        ),
        ({"instances": [[*ROW, 1]]}, 422, "instances[0]", "has 9 values"),
        (
            {"instances": [row_with(2, "many")]},
            422,
            "instances[0].total_rooms",
            "must be a number or null, is the string 'many'",
        ),
        ({"instances": [row_with(2, "880")]}, 422, "instances[0].total_rooms", "is the string '880'"),
        ({"instances": [row_with(1, True)]}, 422, "instances[0].housing_median_age", "is true or false"),
        ({"instances": [row_with(1, [41])]}, 422, "instances[0].housing_median_age", "is a list"),
        ({"instances": [row_with(5, 1e39)]}, 422, "instances[0].households", "must be a finite number"),
        (
            {"instances": [row_with(5, 10**18 * 10**18 * 1000)]},
            422,
            "instances[0].households",
            "must be a finite number",
        ),
        (
            {"instances": [dict(zip(NAMES[:7], ROW, strict=False))]},
            422,
            "instances[0].longitude",
            "feature 'longitude' is missing",
        ),
        (
            {"instances": [{**dict(zip(NAMES, ROW, strict=True)), "colour": 1}]},
            422,
            "instances[0].colour",
            "'colour' is not a feature",
        ),
        (
            {"instances": [dict(zip((*NAMES[:7], "longitud"), ROW, strict=True))]},
            422,
            "instances[0].longitud",
            "did you mean 'longitude'",
        ),
        ({"instances": [ROW, dict(zip(NAMES, ROW, strict=True))]}, 422, "instances", "use one form"),
        ({"instances": ROW}, 422, "instances[0]", "must be a row"),
        ({"instances": [None]}, 422, "instances[0]", "is null"),
        ({"instances": []}, 422, "instances", "the body has no rows"),
        ({"instances": "1,2"}, 422, "instances", "must be a list of rows"),
        ({"rows": [ROW]}, 422, "rows", "unknown member 'rows'"),
        ({}, 422, "instances", "no member 'instances'"),
        (7, 422, "instances", "must be a list"),
        ('{"instances": [[1, 2', 400, None, "the body is not JSON"),
        ('{"instances": [[NaN]]}', 400, None, "the body is not JSON"),
        ('{"instances": [[1e999]]}', 400, None, "the body is not JSON"),
        ("", 400, None, "the body is not JSON"),
    ],
)
def test_invalid_json_is_rejected(
    housing_bundle: Any, start_server: Any, body: Any, status: int, field: str, words: str
) -> None:
    """Never a wrong 200: each wrong body has its status, its field and its reason."""
    answer = start_server(housing_bundle).send("POST", "/predict", body)
    assert (answer.status, answer.error["field"]) == (status, field)
    assert words in answer.error["message"]


@pytest.mark.parametrize(
    ("body", "status", "field", "words"),
    [
        ("1,2,3,4,5,6,7", 422, "row[0].longitude", "no value for 'longitude'"),
        ("1,2,3,4,5,6,7,8\n1,2,3,4,5,6,7,8,9", 422, "row[1]", "has 9 values"),
        ("1,2,x,4,5,6,7,8", 422, "row[0].total_rooms", "is the string 'x'"),
        ("1,2,1_0,4,5,6,7,8", 422, "row[0].total_rooms", "is the string '1_0'"),
        ("1,2,inf,4,5,6,7,8", 422, "row[0].total_rooms", "must be a finite number"),
        ("1,2,1e99,4,5,6,7,8", 422, "row[0].total_rooms", "must be a finite number"),
        ("1,2,.3.,4,5,6,7,8", 422, "row[0].total_rooms", "is the string '.3.'"),
        ("1,2,3 4,4,5,6,7,8", 422, "row[0].total_rooms", "is the string '3 4'"),
        ("1,2,3,4,5,6,7,8\n,1,2,3,4,5,6,7,8", 422, "row[1]", "has 9 values"),
        ("1,2,3e,4,5,6,7,8", 422, "row[0].total_rooms", "is the string '3e'"),
        (",".join(NAMES[:7]) + "\n1,2,3,4,5,6,7", 422, "header.longitude", "no column 'longitude'"),
        (",".join((*NAMES, "x")) + "\n" + "1," * 8 + "1", 422, "header", "an unknown or duplicate column 'x'"),
        (",".join(NAMES), 422, "row", "the body has no rows"),
        ("\n\n", 422, "row", "the body has no rows"),
        ('1,2,"3', 400, None, "not CSV"),
        (b"\xff\xfe1,2", 400, None, "not UTF-8"),
    ],
)
def test_invalid_csv_is_rejected(
    housing_bundle: Any, start_server: Any, body: Any, status: int, field: str, words: str
) -> None:
    """The same for text: no cell is ever guessed at."""
    answer = start_server(housing_bundle).send("POST", "/predict", body, content_type="text/csv")
    assert (answer.status, answer.error["field"]) == (status, field)
    assert words in answer.error["message"]


def test_errors_in_json_lines_name_the_line(housing_bundle: Any, start_server: Any) -> None:
    """A line that is no JSON is named by its number, a row that does not fit by its index."""
    answer = start_server(housing_bundle).send(
        "POST", "/predict", f"{json.dumps(ROW)}\n[1,", content_type="application/x-ndjson"
    )
    assert (answer.status, answer.error["field"]) == (400, "line 2")
    answer = start_server(housing_bundle).send(
        "POST", "/predict", f"{json.dumps(ROW)}\n[1]", content_type="application/x-ndjson"
    )
    assert (answer.status, answer.error["field"]) == (422, "line[1].housing_median_age")


def test_unknown_media_type_is_rejected(housing_bundle: Any, start_server: Any) -> None:
    """What isn't known is 415, not a guess."""
    answer = start_server(housing_bundle).send("POST", "/predict", "<rows/>", content_type="application/xml")
    assert (answer.status, answer.error["code"]) == (415, "unsupported_media_type")


def test_categorical_features_take_codes(train_bundle: Any, start_server: Any) -> None:
    """A categorical feature takes a category's code or null; a fraction or a negative number is refused by name."""
    bundle = train_bundle("reg:squarederror", categorical=True)
    answer = start_server(bundle).send("POST", "/predict", {"instances": to_lists(bundle.rows[:20])})
    assert same_floats(answer.json["predictions"], bundle.predict(bundle.rows[:20]))
    for wrong in (1.5, -1, 2**25):
        answer = start_server(bundle).send("POST", "/predict", {"instances": [row_with(2, wrong)]})
        assert (answer.status, answer.error["field"]) == (422, "instances[0].total_rooms")
        assert "category's code" in answer.error["message"]
