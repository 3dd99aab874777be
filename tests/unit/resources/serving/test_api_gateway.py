"""API, integration, routes and stage, against the embedded API Gateway: made, adopted, corrected, removed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from controller.core.graph import Node
from controller.core.status import Failed

API, INTEGRATION, ROUTE, STAGE = (f"apigatewayv2/{kind}" for kind in ("api", "integration", "route", "stage"))
PREREQUISITES = {
    "apigatewayv2/vpc-link",
    "ec2/network",
    "ec2/security-group",
    "servicediscovery/namespace",
    "servicediscovery/service",
}
CORS = {"allowOrigins": ["https://a.example", "https://b.example"], "allowHeaders": ["Content-Type"]}


@pytest.fixture(scope="module")
def prerequisites(harness: Any, spec_context: Any) -> Mapping[tuple[str, str], Any]:
    """A VPC link and a Cloud Map service, for all APIs of this module."""
    resolved = harness.apply_prerequisites(spec_context("ground"), PREREQUISITES, {})
    (service, link) = (
        next(iter(harness.observe(resolved(node)).values())).outputs
        for kind, wanted in (("servicediscovery/service", spec_context("ground")), ("apigatewayv2/vpc-link", None))
        for node in harness.registry[kind].expand(wanted or harness.environment_context(spec_context("ground")))
    )
    return {("servicediscovery/service", "arn"): service["arn"], ("apigatewayv2/vpc-link", "id"): link["id"]}


class ApiParts:
    """An API and all of its parts, made one after the other."""

    def __init__(self, harness: Any, context: Any, prerequisites: Mapping[tuple[str, str], Any]) -> None:
        self.harness = harness
        self.api = harness.node(API, context)
        made = harness.apply_until_stable(self.api).outputs
        given = {**prerequisites, (API, "id"): made["id"], (API, "endpoint"): made["endpoint"]}
        self.integration = harness.node(INTEGRATION, context, given)
        given[INTEGRATION, "id"] = harness.apply_until_stable(self.integration).outputs["id"]
        self.routes: list[Node] = harness.nodes(ROUTE, context, given)
        for route in self.routes:
            harness.apply_until_stable(route)
        self.stage = harness.node(STAGE, context, given)
        harness.apply_until_stable(self.stage)

    @property
    def id(self) -> str:
        found: str = self.harness.observe(self.api)[self.api.key].outputs["id"]
        return found


@pytest.fixture
def api_parts(harness: Any, spec_context: Any, prerequisites: Any) -> Any:
    """`edge(name, **api)`: a whole API of a spec with that `api` section."""
    return lambda name, **api: ApiParts(harness, spec_context(name, api=api), prerequisites)


def test_without_an_api_section_there_is_no_api(harness: Any, spec_context: Any) -> None:
    """A model that only the VPC may reach has none of the four."""
    assert [
        node for kind in (API, INTEGRATION, ROUTE, STAGE) for node in harness.nodes(kind, spec_context("inside"))
    ] == []


def test_api_lifecycle(harness: Any, api_parts: Any) -> None:
    """Each part settles; the stage tells the endpoint, without a slash at its end; each is deleted twice and gone."""
    made = api_parts("living", routes=[{"method": "POST", "path": "/predict"}, {"method": "GET", "path": "/livez"}])
    endpoint = harness.registry[STAGE].status_facts(harness.observe(made.stage)[made.stage.key])["endpoint"]
    assert endpoint == harness.observe(made.api)[made.api.key].outputs["endpoint"]
    assert not endpoint.endswith("/")
    assert sorted(route.identity["routeKey"] for route in made.routes) == ["GET /livez", "POST /predict"]
    for node in (made.stage, *made.routes, made.integration, made.api):
        harness.delete_until_absent(node)


def test_a_named_stage_is_in_the_endpoint_and_not_in_the_path(harness: Any, api_parts: Any) -> None:
    """Its name is a prefix for the world, and the integration takes it off for the server."""
    made = api_parts("named", stage="prod")
    assert harness.observe(made.stage)[made.stage.key].outputs["url"].endswith("/prod")
    live = harness.observe(made.integration)[made.integration.key].fields
    assert live["RequestParameters"] == {"overwrite:path": "$request.path"}


def test_cors_is_the_specs_and_nothing_else(harness: Any, api_parts: Any, spec_context: Any, embedded_aws: Any) -> None:
    """Changed by hand, it is put back; dropped from the spec, it is gone; the order of origins is no difference."""
    made, client = api_parts("open", cors=CORS), embedded_aws.client("apigatewayv2")
    reversed_ = {**CORS, "allowOrigins": CORS["allowOrigins"][::-1]}
    assert harness.changes(harness.node(API, spec_context("open", api={"cors": reversed_}))) == ()
    client.update_api(ApiId=made.id, CorsConfiguration={"AllowOrigins": ["*"], "MaxAge": 60})
    assert {change.path for change in harness.changes(made.api)} == {
        f"CorsConfiguration.{name}" for name in ("AllowHeaders", "AllowMethods", "AllowOrigins", "MaxAge")
    }
    harness.apply_until_stable(made.api)
    closed = harness.node(API, spec_context("open", api={}))
    harness.apply_until_stable(closed)
    assert "CorsConfiguration" not in client.get_api(ApiId=made.id)


def test_duplicate_api_is_removed_and_foreign_apis_stay(harness: Any, api_parts: Any, embedded_aws: Any) -> None:
    """A create whose answer was lost left a second API: the one we know stays, its twin goes; others' stay."""
    made, client = api_parts("twins"), embedded_aws.client("apigatewayv2")
    name, tags = made.api.identity["name"], made.api.desired["tags"]
    known = made.id
    twin = client.create_api(Name=name, ProtocolType="HTTP", Tags=tags)["ApiId"]
    foreign = client.create_api(Name=name, ProtocolType="HTTP")["ApiId"]
    assert [(change.path, change.old) for change in harness.changes(made.api)] == [("duplicates", [twin])]
    harness.apply_until_stable(made.api)
    left = {api["ApiId"] for api in client.get_apis(MaxResults="100")["Items"] if api["Name"] == name}
    assert left == {known, foreign}
    harness.delete_until_absent(made.api)
    assert client.get_api(ApiId=foreign)["Name"] == name


def test_the_oldest_is_adopted_when_nothing_is_remembered(harness: Any, spec_context: Any, embedded_aws: Any) -> None:
    """With an empty store the tags tell whose it is, and age tells which."""
    node, client = harness.node(API, spec_context("forgotten", api={})), embedded_aws.client("apigatewayv2")
    ids = [
        client.create_api(Name=node.identity["name"], ProtocolType="HTTP", Tags=node.desired["tags"])["ApiId"]
        for _ in range(3)
    ]
    seen = harness.observe(node)[node.key]
    assert (seen.outputs["id"], sorted(seen.fields["duplicates"])) == (ids[0], sorted(ids[1:]))
    assert harness.apply_until_stable(node).outputs["id"] == ids[0]


def test_untagged_api_is_still_found(harness: Any, api_parts: Any, embedded_aws: Any) -> None:
    """Somebody took its tags away: no second one is made beside it; the plan will refuse it instead."""
    made = api_parts("stripped")
    arn = f"arn:aws:apigateway:us-east-1::/apis/{made.id}"
    tags = list(made.api.desired["tags"])
    embedded_aws.client("apigatewayv2").untag_resource(ResourceArn=arn, TagKeys=tags)
    assert harness.observe(made.api)[made.api.key].outputs["id"] == made.id


def test_integration_is_corrected_and_its_duplicate_removed(harness: Any, api_parts: Any, embedded_aws: Any) -> None:
    """A foreign mapping is drift; a second integration of ours goes, unless a route still needs it."""
    made, client = api_parts("mapped"), embedded_aws.client("apigatewayv2")
    known = harness.observe(made.integration)[made.integration.key].outputs["id"]
    strange = {"append:header.x": "y"}
    client.update_integration(ApiId=made.id, IntegrationId=known, RequestParameters=strange, TimeoutInMillis=1000)
    settings = {name: value for name, value in made.integration.desired.items() if name != "duplicates"}
    twin = client.create_integration(ApiId=made.id, **settings)["IntegrationId"]
    route = client.get_routes(ApiId=made.id)["Items"][0]
    client.update_route(ApiId=made.id, RouteId=route["RouteId"], Target=f"integrations/{twin}")
    assert [change.path for change in harness.changes(made.integration)] == [
        "RequestParameters.append:header.x",
        "TimeoutInMillis",
        "duplicates",
    ]
    harness.apply(made.integration)
    assert [change.path for change in harness.changes(made.integration)] == ["duplicates"]
    for node in made.routes:
        harness.apply_until_stable(node)
    harness.apply_until_stable(made.integration)


def test_throttling_comes_and_goes(harness: Any, api_parts: Any, spec_context: Any) -> None:
    """Limits are set, changed, and taken back when the spec drops them."""
    made = api_parts("throttled", throttle={"rate": 50, "burst": 100})
    given = {(API, "id"): made.id}
    slower = harness.node(STAGE, spec_context("throttled", api={"throttle": {"rate": 10, "burst": 100}}), given)
    assert [change.path for change in harness.changes(slower)] == ["DefaultRouteSettings.ThrottlingRateLimit"]
    harness.apply_until_stable(slower)
    free = harness.node(STAGE, spec_context("throttled", api={}), given)
    assert [change.path for change in harness.changes(free)] == [
        "DefaultRouteSettings.ThrottlingBurstLimit",
        "DefaultRouteSettings.ThrottlingRateLimit",
    ]
    harness.apply_until_stable(free)


def test_a_failed_deployment_of_a_stage_shows(harness: Any, api_parts: Any) -> None:
    """What AWS says of the last automatic deployment decides."""
    made = api_parts("told")
    seen = harness.observe(made.stage)[made.stage.key]
    message = "Deployment attempt failed: Unable to deploy API because no routes exist in this API"
    reported = type(seen)(seen.fields, {**seen.outputs, "deployment": message})
    assert harness.registry[STAGE].ready(made.stage, reported) == Failed("DeploymentFailed", message)


def test_parts_of_a_deleted_api_are_absent(harness: Any, api_parts: Any, embedded_aws: Any) -> None:
    """Deleting the API by hand takes everything with it, and none of it is an error."""
    made = api_parts("vanished")
    embedded_aws.client("apigatewayv2").delete_api(ApiId=made.id)
    for node in (made.stage, *made.routes, made.integration, made.api):
        assert harness.observe(node) == {}
        assert harness.delete(node) is None
