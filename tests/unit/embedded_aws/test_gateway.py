"""The data plane: requests to an HTTP API reach the instances of a Cloud Map service in the form that AWS sends."""

from __future__ import annotations

import asyncio
import json

import boto3
import pytest
from aiohttp import web
from botocore.config import Config
from moto.ec2.models import ec2_backends
from moto.servicediscovery.models import servicediscovery_backends

from embedded_aws.emulator import Emulator
from embedded_aws.server import ApiServer
from embedded_aws.strict import apigatewayv2, servicediscovery
from tests.unit.embedded_aws.conftest import Edge, send, until


async def echo(request: web.Request) -> web.Response:
    """Return what arrived."""
    seen = {"method": request.method, "target": request.raw_path, "headers": dict(request.headers)}
    return web.json_response(seen | {"body": (await request.read()).decode("latin-1")})


def named(name: str):
    async def answer(_: web.Request) -> web.Response:
        return web.Response(text=name)

    return answer


def test_a_request_arrives_unchanged(edge, upstreams) -> None:
    """Method, encoded path, query and body arrive as sent, hop-by-hop headers don't.

    Forwarding headers name the client.
    """
    _, url, _ = edge.expose(upstreams.start(echo))
    reply = send(
        f"{url}/a%20b/c?x=1&x=2&y=%2F",
        "POST",
        b'{"n": 1}',
        {"Content-Type": "application/json", "X-Kept": "yes", "Connection": "X-Dropped", "X-Dropped": "1"},
    )
    seen = reply.json()
    assert (reply.status, seen["method"], seen["target"], seen["body"]) == (
        200,
        "POST",
        "/a%20b/c?x=1&x=2&y=%2F",
        '{"n": 1}',
    )
    assert seen["headers"]["X-Kept"] == "yes"
    assert seen["headers"]["Content-Type"] == "application/json"
    assert "X-Dropped" not in seen["headers"]
    assert seen["headers"]["X-Forwarded-For"] == "127.0.0.1"
    assert "for=127.0.0.1" in seen["headers"]["Forwarded"]
    assert seen["headers"]["Via"].endswith("AmazonAPIGateway")
    assert reply.headers["apigw-requestid"]


def test_responses_are_returned_unchanged(edge, upstreams) -> None:
    """Status, repeated headers, redirects and compressed bodies are returned as the instance sent them."""

    async def odd(_: web.Request) -> web.Response:
        answer = web.Response(
            status=302, body=b"\x1f\x8bnot really gzip", headers={"Content-Encoding": "gzip", "Location": "/elsewhere"}
        )
        answer.headers.add("Set-Cookie", "a=1")
        return answer

    _, url, _ = edge.expose(upstreams.start(odd))
    reply = send(f"{url}/x")
    assert (reply.status, reply.body) == (302, b"\x1f\x8bnot really gzip")
    assert (reply.headers["Location"], reply.headers["Content-Encoding"]) == ("/elsewhere", "gzip")
    head = send(f"{url}/x", "HEAD")
    assert (head.status, head.body, head.headers["Content-Length"]) == (302, b"", str(len(reply.body)))


def test_unknown_routes_and_apis_are_not_found(edge, upstreams) -> None:
    """API Gateway answers with its own 404 and message, without calling an instance."""
    api, url, _ = edge.expose(upstreams.start(echo), routes=("POST /predict",))
    for target in (f"{url}/predict", f"{url}/predict/", f"{url}/other", url.replace(api, "nosuchapi0")):
        reply = send(target)
        assert (reply.status, reply.json()) == (404, {"message": "Not Found"})
    assert send(f"{url}/predict", "POST").status == 200


def test_a_route_that_needs_a_signature_is_forbidden(edge, upstreams) -> None:
    """Callers can't be authorised here, so an AWS_IAM route refuses everyone. A route without a target answers 500."""
    api, url, _ = edge.expose(upstreams.start(echo), routes=("GET /a",))
    route = edge.api.get_routes(ApiId=api)["Items"][0]["RouteId"]
    edge.api.update_route(ApiId=api, RouteId=route, AuthorizationType="AWS_IAM")
    reply = send(f"{url}/a")
    assert (reply.status, reply.json()) == (403, {"message": "Forbidden"})
    edge.api.create_route(ApiId=api, RouteKey="GET /b")
    assert send(f"{url}/b").status == 500


def test_a_named_stage_is_forwarded_unless_the_path_is_overwritten(edge, upstreams) -> None:
    """A private integration receives `/prod/predict`; with `overwrite:path` it receives `/predict`."""
    api, url, _ = edge.expose(upstreams.start(echo), stage={"StageName": "prod"})
    assert send(f"{url}/prod/predict?a=b").json()["target"] == "/prod/predict?a=b"
    assert send(f"{url}/predict").status == 404
    integration = edge.api.get_integrations(ApiId=api)["Items"][0]["IntegrationId"]
    edge.api.update_integration(
        ApiId=api, IntegrationId=integration, RequestParameters={"overwrite:path": "$request.path"}
    )
    assert send(f"{url}/prod/predict?a=b").json()["target"] == "/predict?a=b"
    assert send(f"{url}/prod").json()["target"] == "/"


def test_parameters_are_mapped_both_ways(edge, upstreams) -> None:
    """The integration's mappings change headers, query and status."""
    _, url, _ = edge.expose(
        upstreams.start(echo),
        routes=("GET /pets/{pet}",),
        RequestParameters={
            "overwrite:header.x-moorage-service": "housing",
            "append:querystring.pet": "$request.path.pet",
            "remove:header.x-secret": "''",
        },
        ResponseParameters={
            "200": {"overwrite:statuscode": "203", "append:header.x-stage": "${context.stage}/$context.apiId"}
        },
    )
    reply = send(f"{url}/pets/dog?a=1", headers={"X-Secret": "s", "X-Moorage-Service": "forged"})
    seen = reply.json()
    assert seen["target"] == "/pets/dog?a=1&pet=dog"
    assert seen["headers"]["x-moorage-service"] == "housing"
    assert not {"X-Secret", "X-Moorage-Service"} & seen["headers"].keys()
    assert (reply.status, reply.headers["x-stage"].split("/")[0]) == (203, "$default")


def test_only_healthy_instances_take_turns(edge, upstreams) -> None:
    """Healthy instances share the requests. An unhealthy or deregistered one gets no further request."""
    _, url, service = edge.expose(upstreams.start(named("one")), upstreams.start(named("two")))
    assert {send(url).body for _ in range(4)} == {b"one", b"two"}
    edge.cloud_map.update_instance_custom_health_status(ServiceId=service, InstanceId="task-0", Status="UNHEALTHY")
    assert {send(url).body for _ in range(4)} == {b"two"}
    edge.cloud_map.deregister_instance(ServiceId=service, InstanceId="task-1")
    reply = send(url)
    assert (reply.status, reply.json()) == (503, {"message": "Service Unavailable"})


def test_a_refused_connection_goes_to_the_next_instance(edge, upstreams) -> None:
    """An instance that has just ended costs no request while another one runs.

    Without any instance the answer is 503.
    """
    lifecycle, ending = upstreams.start(named("living")), upstreams.start(named("ending"))
    _, url, _ = edge.expose(lifecycle, ending)
    upstreams.stop(ending)
    assert [send(url, "POST", b"x").body for _ in range(4)] == [b"living"] * 4
    upstreams.stop(lifecycle)
    assert send(url, "POST", b"x").status == 503


def test_an_instance_without_port_or_srv_record_is_not_used(edge, upstreams) -> None:
    """HTTP APIs need address and port from Cloud Map. A service with A records only answers 503."""
    port = upstreams.start(named("here"))
    api, url, service = edge.expose()
    edge.cloud_map.register_instance(ServiceId=service, InstanceId="blind", Attributes={"AWS_INSTANCE_PORT": str(port)})
    assert send(url).status == 503
    with_a = edge.service(DnsConfig={"DnsRecords": [{"Type": "A", "TTL": 10}]})
    edge.register(with_a["Id"], port)
    integration = edge.api.get_integrations(ApiId=api)["Items"][0]["IntegrationId"]
    edge.api.update_integration(ApiId=api, IntegrationId=integration, IntegrationUri=with_a["Arn"])
    assert send(url).status == 503
    plain = edge.service(DnsConfig={"DnsRecords": [{"Type": "SRV", "TTL": 10}]})
    edge.register(plain["Id"], port, color="green")
    edge.api.update_integration(ApiId=api, IntegrationId=integration, IntegrationUri=plain["Arn"] + "?color=green")
    assert send(url).body == b"here"
    edge.api.update_integration(ApiId=api, IntegrationId=integration, IntegrationUri=plain["Arn"] + "?color=blue")
    assert send(url).status == 503


def test_a_slow_instance_times_out(edge, upstreams) -> None:
    """An integration that exceeds its timeout answers 504."""
    forever = asyncio.Event

    async def never(_: web.Request) -> web.Response:
        await forever().wait()
        return web.Response()

    _, url, _ = edge.expose(upstreams.start(never), TimeoutInMillis=100)
    reply = send(url)
    assert (reply.status, reply.json()) == (504, {"message": "Endpoint request timed out"})


def test_ten_megabytes_are_the_limit(edge, upstreams) -> None:
    """A larger body is refused, announced or chunked, and reaches no instance. A larger response becomes a 500."""
    seen = []

    async def measure(request: web.Request) -> web.Response:
        seen.append(len(await request.read()))
        return web.Response(body=b"x" * int(request.query.get("want", "0")))

    _, url, _ = edge.expose(upstreams.start(measure))
    limit = 10 * 1024 * 1024
    assert send(url, "POST", b"x" * limit).status == 200
    for body in (b"x" * (limit + 1), (b"x" * 1024 * 1024 for _ in range(11))):
        reply = send(url, "POST", body)
        assert (reply.status, reply.json()) == (413, {"message": "Request Entity Too Large"})
    assert send(f"{url}/?want={limit}").status == 200
    assert send(f"{url}/?want={limit + 1}").status == 500
    assert seen == [limit, 0, 0]


def test_an_empty_bucket_throttles(edge, upstreams) -> None:
    """Throttling settings hold per route: a burst of two, then 429, while another route still answers."""
    slow = {"ThrottlingRateLimit": 0.001, "ThrottlingBurstLimit": 2}
    _, url, _ = edge.expose(
        upstreams.start(named("ok")), routes=("GET /a", "GET /b"), stage={"DefaultRouteSettings": slow}
    )
    assert [send(f"{url}/a").status for _ in range(3)] == [200, 200, 429]
    assert send(f"{url}/a").json() == {"message": "Too Many Requests"}
    assert send(f"{url}/b").status == 200


def test_cors_headers_are_the_apis_own(edge, upstreams) -> None:
    """Preflight is answered without an OPTIONS route, and the instance's CORS headers are replaced."""

    async def lax(_: web.Request) -> web.Response:
        return web.Response(text="ok", headers={"Access-Control-Allow-Origin": "*"})

    api, url, _ = edge.expose(upstreams.start(lax), routes=("POST /predict",))
    site = "https://app.example.com"
    edge.api.update_api(
        ApiId=api,
        CorsConfiguration={
            "AllowOrigins": [site],
            "AllowMethods": ["POST"],
            "AllowHeaders": ["content-type"],
            "MaxAge": 60,
        },
    )
    asked = {"Origin": site, "Access-Control-Request-Method": "POST"}
    reply = send(f"{url}/predict", "OPTIONS", headers=asked)
    assert reply.status == 204
    assert (reply.headers["Access-Control-Allow-Origin"], reply.headers["Access-Control-Allow-Methods"]) == (
        site,
        "POST",
    )
    assert reply.headers["Access-Control-Max-Age"] == "60"
    assert (
        "Access-Control-Allow-Origin"
        not in send(f"{url}/predict", "OPTIONS", headers=asked | {"Origin": "https://evil.example"}).headers
    )
    assert send(f"{url}/predict", "POST", headers={"Origin": site}).headers["Access-Control-Allow-Origin"] == site
    assert "Access-Control-Allow-Origin" not in send(f"{url}/predict", "POST").headers
    edge.api.delete_cors_configuration(ApiId=api)
    assert send(f"{url}/predict", "POST").headers["Access-Control-Allow-Origin"] == "*"


def test_without_automatic_deployment_a_stage_serves_its_snapshot(edge, upstreams) -> None:
    """A new route is unreachable until it is deployed. A stage without a deployment answers Not Found."""
    api, url, _ = edge.expose(upstreams.start(named("ok")), routes=("GET /a",), stage={"AutoDeploy": False})
    assert send(f"{url}/a").status == 404
    first = edge.api.create_deployment(ApiId=api, StageName="$default")["DeploymentId"]
    assert send(f"{url}/a").status == 200
    target = edge.api.get_routes(ApiId=api)["Items"][0]["Target"]
    edge.api.create_route(ApiId=api, RouteKey="GET /b", Target=target)
    assert send(f"{url}/b").status == 404
    edge.api.create_deployment(ApiId=api, StageName="$default")
    assert send(f"{url}/b").status == 200
    edge.api.update_stage(ApiId=api, StageName="$default", DeploymentId=first)
    assert send(f"{url}/b").status == 404


def test_a_link_carries_nothing_before_it_is_available(edge, upstreams) -> None:
    """An integration over a PENDING link is accepted, and answers 503 until the link is AVAILABLE."""
    subnet = edge.aws.client("ec2").describe_subnets()["Subnets"][0]["SubnetId"]
    link = edge.api.create_vpc_link(Name="late", SubnetIds=[subnet])
    _, url, _ = edge.expose(upstreams.start(named("ok")), ConnectionId=link["VpcLinkId"])
    assert (link["VpcLinkStatus"], send(url).status) == ("PENDING", 503)
    until(lambda: send(url).status == 200)


@pytest.fixture
def emulator(tmp_path):
    """Yield an emulator in this process, so that a test can hold its lock."""
    emulator = Emulator(tmp_path)
    for part in (apigatewayv2, servicediscovery):
        part.install(emulator)
    emulator.reset()
    yield emulator
    emulator.reset()
    emulator.stop()


def test_requests_take_no_lock(emulator, upstreams) -> None:
    """A request is answered while the test holds the emulator's lock.

    An instance that was put straight into moto is found, too.
    """
    endpoint = f"http://127.0.0.1:{upstreams.serve(ApiServer(emulator).build_application())}"
    emulator.endpoint = endpoint
    session = boto3.Session("AKIAIOSFODNN7EXAMPLE", "example", region_name=emulator.region)
    api, cloud_map = (
        session.client(name, endpoint_url=endpoint, config=Config(proxies={}))
        for name in ("apigatewayv2", "servicediscovery")
    )
    subnet = ec2_backends[emulator.account][emulator.region].describe_subnets()[0]
    cloud_map.create_private_dns_namespace(Name="inside", Vpc=subnet.vpc_id)
    namespace = cloud_map.list_namespaces()["Namespaces"][0]["Id"]
    link = api.create_vpc_link(Name="edge", SubnetIds=[subnet.id])["VpcLinkId"]
    until(lambda: api.get_vpc_link(VpcLinkId=link)["VpcLinkStatus"] == "AVAILABLE")
    edge = Edge(None, api, cloud_map, namespace, link)
    _, url, service = edge.expose()
    port = upstreams.start(named("ok"))
    attributes = {"AWS_INSTANCE_IPV4": "127.0.0.1", "AWS_INSTANCE_PORT": str(port)}
    with emulator.lock:
        servicediscovery_backends[emulator.account][emulator.region].register_instance(
            service, "task", "request", attributes
        )
        assert send(url).body == b"ok"


@pytest.mark.parametrize("path", ["/../../etc/passwd", "//evil.example/x", "/%2e%2e/x", "/a//b"])
def test_unusual_paths_reach_the_instance_unchanged(edge, upstreams, path) -> None:
    """No path makes the gateway call another host or path."""
    _, url, _ = edge.expose(upstreams.start(echo))
    assert json.loads(send(url + path).body)["target"] == path
