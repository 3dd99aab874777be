"""The OpenAPI document: made from the signature, and in step with the table of routes and with what they answer."""

from __future__ import annotations

from typing import Any

import pytest

from .bundles import NAMES


def test_it_describes_every_route_and_no_other(housing: Any, serve: Any) -> None:
    """The paths and methods of the document are those of the server's table."""
    server = serve(housing)
    described = {
        path: {method.upper() for method in methods}
        for path, methods in server.ask("GET", "/openapi.json").json["paths"].items()
    }
    assert described == {path: set(methods) for path, methods in server.routes.items()}


def test_it_is_made_from_the_signature(housing: Any, serve: Any) -> None:
    """Feature names in order, training ranges, and an example row that the model takes."""
    server = serve(housing)
    document = server.ask("GET", "/openapi.json").json
    assert document["openapi"] == "3.1.0"
    assert document["info"]["title"] == "housing-model"
    row = document["components"]["schemas"]["Row"]
    assert [value["title"] for value in row["prefixItems"]] == list(NAMES)
    assert row["prefixItems"][0]["x-training-range"] == [-5, 5]
    assert row["minItems"] == row["maxItems"] == 8
    for schema in ("Row", "NamedRow"):
        example = document["components"]["schemas"][schema]["examples"][0]
        assert server.ask("POST", "/predict", {"instances": [example]}).status == 200


def test_categories_are_integers(trained: Any, serve: Any) -> None:
    """A categorical feature is described as a code, and its example is one."""
    bundle = trained("reg:squarederror", categorical=True)
    row = serve(bundle).ask("GET", "/openapi.json").json["components"]["schemas"]["Row"]
    assert row["prefixItems"][2]["type"] == ["integer", "null"]
    assert serve(bundle).ask("POST", "/predict", {"instances": row["examples"]}).status == 200


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
def test_refusals_are_documented(
    housing: Any, serve: Any, path: str, headers: dict[str, str], body: str, status: int
) -> None:
    """Each status that a client can bring about stands in the document, with the media type that it has."""
    server = serve(housing)
    answer = server.ask("POST", path, body, **headers)
    assert answer.status == status
    documented = server.ask("GET", "/openapi.json").json["paths"][path]["post"]["responses"][str(status)]
    assert answer.headers["content-type"] in documented["content"]
    assert "X-Request-Id" in documented["headers"]
