"""The OpenAPI document: made from the signature, and in step with the table of routes and with what they answer."""

from __future__ import annotations

from typing import Any

import pytest

from .model_bundles import NAMES


def test_document_describes_exactly_the_routes(housing_bundle: Any, start_server: Any) -> None:
    """The paths and methods of the document are those of the server's table."""
    server = start_server(housing_bundle)
    described = {
        path: {method.upper() for method in methods}
        for path, methods in server.send("GET", "/openapi.json").json["paths"].items()
    }
    assert described == {path: set(methods) for path, methods in server.routes.items()}


def test_document_follows_the_signature(housing_bundle: Any, start_server: Any) -> None:
    """Feature names in order, training ranges, and an example row that the model takes."""
    server = start_server(housing_bundle)
    document = server.send("GET", "/openapi.json").json
    assert document["openapi"] == "3.1.0"
    assert document["info"]["title"] == "housing-model"
    row = document["components"]["schemas"]["Row"]
    assert [value["title"] for value in row["prefixItems"]] == list(NAMES)
    assert row["prefixItems"][0]["x-training-range"] == [-5, 5]
    assert row["minItems"] == row["maxItems"] == 8
    for schema in ("Row", "NamedRow"):
        example = document["components"]["schemas"][schema]["examples"][0]
        assert server.send("POST", "/predict", {"instances": [example]}).status == 200


def test_categorical_features_are_integers(train_bundle: Any, start_server: Any) -> None:
    """A categorical feature is described as a code, and its example is one."""
    bundle = train_bundle("reg:squarederror", categorical=True)
    row = start_server(bundle).send("GET", "/openapi.json").json["components"]["schemas"]["Row"]
    assert row["prefixItems"][2]["type"] == ["integer", "null"]
    assert start_server(bundle).send("POST", "/predict", {"instances": row["examples"]}).status == 200


@pytest.mark.parametrize(
    ("path", "headers", "body", "status"),
    [
        ("/predict", {}, "{", 400),
        ("/predict", {"content_type": "application/xml"}, "<a/>", 415),
        ("/predict", {}, "[]", 422),
        ("/invocations", {"accept": "image/png"}, "1", 406),
        ("/explain", {}, "[]", 422),
        ("/", {}, "{}", 400),
        ("/v2/models/housing-model/infer", {}, "[]", 422),
    ],
)
def test_error_responses_are_documented(
    housing_bundle: Any, start_server: Any, path: str, headers: dict[str, str], body: str, status: int
) -> None:
    """Each status that a client can bring about stands in the document, with the media type that it has."""
    server = start_server(housing_bundle)
    answer = server.send("POST", path, body, **headers)
    assert answer.status == status
    documented = server.send("GET", "/openapi.json").json["paths"][path]["post"]["responses"][str(status)]
    assert answer.headers["content-type"] in documented["content"]
    assert "X-Request-Id" in documented["headers"]
