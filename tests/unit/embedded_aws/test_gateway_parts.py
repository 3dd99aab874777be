"""The data plane's pure parts: route selection, parameter mappings, token buckets and CORS."""

from __future__ import annotations

import pytest
from multidict import CIMultiDict, MultiDict

from embedded_aws.gateway import cors, parameter_mapping, route_selection
from embedded_aws.gateway.parameter_mapping import MappedRequest, MappingContext, MappingError
from embedded_aws.gateway.route_throttle import RateLimit, RouteThrottle

GUIDE = ["GET /pets/dog/1", "GET /pets/dog/{id}", "GET /pets/{proxy+}", "ANY /{proxy+}", "$default"]


@pytest.mark.parametrize(
    ("keys", "method", "path", "chosen", "variables"),
    [
        # The developer guide's own table of examples, in an order that doesn't favour the right route.
        (GUIDE[::-1], "GET", "/pets/dog/1", "GET /pets/dog/1", {}),
        (GUIDE, "GET", "/pets/dog/2", "GET /pets/dog/{id}", {"id": "2"}),
        (GUIDE[::-1], "GET", "/pets/cat/1", "GET /pets/{proxy+}", {"proxy": "cat/1"}),
        (GUIDE, "POST", "/test/5", "ANY /{proxy+}", {"proxy": "test/5"}),
        (GUIDE, "GET", "/", "$default", {}),
        # A named method before ANY, a constant before a variable, from the left.
        (["ANY /a", "GET /a"], "GET", "/a", "GET /a", {}),
        (["ANY /a", "GET /a"], "PUT", "/a", "ANY /a", {}),
        (["GET /{x}/b", "GET /a/{y}"], "GET", "/a/b", "GET /a/{y}", {"y": "b"}),
        (["GET /{x}", "ANY /a"], "GET", "/a", "ANY /a", {}),
        # A full match before a greedy one, even for ANY.
        (["GET /{all+}", "ANY /a/{x}"], "GET", "/a/b", "ANY /a/{x}", {"x": "b"}),
        (["GET /pets/{name}"], "GET", "/pets/big%20dog", "GET /pets/{name}", {"name": "big dog"}),
        (["POST /"], "POST", "/", "POST /", {}),
    ],
)
def test_the_best_route_answers(keys, method, path, chosen, variables) -> None:
    """A full match comes first, then a greedy variable, then `$default`."""
    match = route_selection.select_route([route_selection.parse_route_key(key) for key in keys], method, path)
    assert match is not None
    assert (match.key, match.variables) == (chosen, variables)


@pytest.mark.parametrize(
    ("key", "method", "path"),
    [
        ("GET /a", "POST", "/a"),
        ("GET /a", "GET", "/a/"),
        ("GET /a/{x}", "GET", "/a/"),
        ("GET /a/{x+}", "GET", "/a/"),
        ("GET /a/{x}", "GET", "/a/b/c"),
        ("GET /a.c", "GET", "/abc"),
    ],
)
def test_other_requests_match_nothing(key, method, path) -> None:
    """A variable needs a value, a trailing slash is another path, a dot is a dot."""
    assert route_selection.select_route([route_selection.parse_route_key(key)], method, path) is None


@pytest.mark.parametrize(
    "key", ["", "GET", "get /a", "FETCH /a", "GET a", "GET /{x+}/b", "GET /{x}/{x}", "GET /a{x}", "$connect"]
)
def test_malformed_route_keys_are_refused(key) -> None:
    """An invalid route key is refused."""
    with pytest.raises(route_selection.RouteKeyError):
        route_selection.parse_route_key(key)


VALUES = MappingContext(
    path="/predict",
    variables={"pet": "dog"},
    headers=CIMultiDict([("X-A", "1"), ("X-A", "2")]),
    query=MultiDict([("q", "v")]),
    context={"requestId": "r1"},
    stage_variables={"color": "green"},
)


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("$request.path", "/predict"),
        ("/v1${request.path}/$request.path.pet", "/v1/predict/dog"),
        ("$request.header.x-a", "1,2"),
        ("$request.querystring.q", "v"),
        ("$context.requestId", "r1"),
        ("${stageVariables.color}", "green"),
        ("$request.header.absent", ""),
        ("constant $5", "constant $5"),
    ],
)
def test_mapping_expressions_follow_the_guide(expression, value) -> None:
    """Each form of the guide's table of mapping values is supported."""
    assert parameter_mapping.evaluate_expression(expression, VALUES) == value


def test_a_mapping_leaves_the_request_unmodified() -> None:
    """Append keeps values, overwrite replaces them, remove removes them. The client's own request is not modified."""
    outgoing = MappedRequest("/prod/predict", CIMultiDict(VALUES.headers), MultiDict(VALUES.query))
    mapping = {
        "overwrite:path": "$request.path",
        "append:header.x-a": "3",
        "overwrite:querystring.q": "w",
        "remove:header.x-b": "",
    }
    changed = parameter_mapping.map_request(mapping, outgoing, VALUES)
    assert (changed.path, changed.headers.getall("x-a"), changed.query["q"]) == ("/predict", ["1", "2", "3"], "w")
    assert (outgoing.path, outgoing.headers.getall("x-a"), outgoing.query["q"]) == ("/prod/predict", ["1", "2"], "v")


@pytest.mark.parametrize(
    "mapping",
    [
        {"overwrite.path": "$request.path"},
        {"append:path": "/x"},
        {"replace:header.x": "1"},
        {"append:header.Authorization": "x"},
        {"overwrite:header.x-amzn-trace": "x"},
        {"append:header.x": "$request.body.name"},
        {"append:header.x": "${request.nothing}"},
    ],
)
def test_invalid_mappings_are_refused(mapping) -> None:
    """Wrong keys, reserved headers, unknown values, and bodies, which are not supported, are refused."""
    with pytest.raises(MappingError):
        parameter_mapping.check_request_mapping(mapping)


def test_response_mappings_are_checked_too() -> None:
    """Statuses from 200 to 599 are valid; only headers and the status code can be mapped."""
    parameter_mapping.check_response_mapping(
        {"404": {"overwrite:statuscode": "200", "append:header.x": "$response.header.y"}}
    )
    for wrong in ({"100": {}}, {"200": {"overwrite:path": "/"}}, {"2xx": {}}, {"200": {"append:header.via": "x"}}):
        with pytest.raises(MappingError):
            parameter_mapping.check_response_mapping(wrong)


def test_a_bucket_refills_at_its_rate() -> None:
    """The bucket allows a burst of two, then one token every half second.

    Another key has a bucket of its own, and a new limit starts with a full bucket.
    """
    now = [0.0]
    throttle = RouteThrottle(lambda: now[0])
    limit = RateLimit(rate=2.0, burst=2)
    assert [throttle.try_acquire(("a",), limit) for _ in range(3)] == [True, True, False]
    assert throttle.try_acquire(("b",), limit)
    now[0] = 0.5
    assert [throttle.try_acquire(("a",), limit) for _ in range(2)] == [True, False]
    now[0] = 100.0
    assert [throttle.try_acquire(("a",), limit) for _ in range(3)] == [True, True, False]
    assert throttle.try_acquire(("a",), RateLimit(rate=2.0, burst=3))
    assert throttle.try_acquire(("a",), None)


def test_wildcards_and_schemes_allow_origins() -> None:
    """`*` answers `*`, `https://*` allows any https origin, and only allowed origins get the credentials header."""
    assert cors.build_preflight_headers({"AllowOrigins": ["*"]}, "http://x")["Access-Control-Allow-Origin"] == "*"
    https = {"AllowOrigins": ["https://*"], "AllowCredentials": True}
    assert cors.build_preflight_headers(https, "https://x")["Access-Control-Allow-Credentials"] == "true"
    assert not cors.build_preflight_headers(https, "http://x")
    with pytest.raises(cors.CorsError):
        cors.check_configuration({"AllowOrigins": ["*"], "AllowCredentials": True})
