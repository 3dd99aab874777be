"""The whole edge on real tasks: a client that never pauses sees a rolling update, and not one failure."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest

pytestmark = pytest.mark.e2e

# Unlike the other stand-in it keeps connections open, as the inference server does.
SERVER = """
import pathlib
from aiohttp import web
model = pathlib.Path("/opt/model/manifest.json").read_text()
async def answer(request):
    await request.read()
    return web.Response(text=model)
app = web.Application()
app.router.add_route("*", "/{tail:.*}", answer)
web.run_app(app, host="0.0.0.0", port=8080, print=None, shutdown_timeout=5)
"""


class RequestLoop:
    """Sends one POST after the other on a connection of its own until it is stopped; keeps every answer."""

    def __init__(self, url: str, body: bytes = b"x" * 100) -> None:
        self.answers: list[tuple[int, str]] = []
        self._body = body
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(urlsplit(url),))
        self._thread.start()

    def _run(self, url: Any) -> None:
        connection = http.client.HTTPConnection(url.hostname, url.port, timeout=30)
        while not self._stop.is_set():
            connection.request("POST", f"{url.path}/predict", self._body)
            answer = connection.getresponse()
            self.answers.append((answer.status, answer.read().decode()))
        connection.close()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()


@pytest.fixture
def api(containers: Any) -> tuple[str, str]:
    """An HTTP API in front of a Cloud Map service: its URL, and the service's ARN."""
    api, cloud_map = containers.aws.client("apigatewayv2"), containers.aws.client("servicediscovery")
    vpc = containers.aws.client("ec2").describe_vpcs()["Vpcs"][0]["VpcId"]
    cloud_map.create_private_dns_namespace(Name="models.internal", Vpc=vpc)
    service = cloud_map.create_service(
        Name="housing",
        NamespaceId=cloud_map.list_namespaces()["Namespaces"][0]["Id"],
        DnsConfig={"DnsRecords": [{"Type": "SRV", "TTL": 10}]},
        HealthCheckCustomConfig={"FailureThreshold": 1},
    )["Service"]
    link = api.create_vpc_link(Name="edge", SubnetIds=containers.subnets)["VpcLinkId"]
    made = api.create_api(Name="housing", ProtocolType="HTTP")
    integration = api.create_integration(
        ApiId=made["ApiId"],
        IntegrationType="HTTP_PROXY",
        IntegrationMethod="ANY",
        IntegrationUri=service["Arn"],
        ConnectionType="VPC_LINK",
        ConnectionId=link,
        PayloadFormatVersion="1.0",
    )["IntegrationId"]
    api.create_route(ApiId=made["ApiId"], RouteKey="POST /predict", Target=f"integrations/{integration}")
    api.create_stage(ApiId=made["ApiId"], StageName="$default", AutoDeploy=True)
    containers.until(lambda: api.get_vpc_link(VpcLinkId=link)["VpcLinkStatus"] == "AVAILABLE")
    return made["ApiEndpoint"], service["Arn"]


@pytest.fixture
def clients(api: tuple[str, str]) -> Iterator[list[RequestLoop]]:
    """Where a test puts its clients, so that they end with it."""
    started: list[RequestLoop] = []
    yield started
    for client in started:
        client.stop()


def test_a_rolling_update_fails_no_request(containers: Any, api: tuple[str, str], clients: list[RequestLoop]) -> None:
    """Requests go to the old task until the new one is healthy, and none is lost when the old one ends."""
    url, registry = api

    def definition(model: str) -> str:
        return containers.register_task_definition(containers.push_image(model, Cmd=["-c", SERVER]))

    registries = [{"registryArn": registry, "containerName": "server", "containerPort": 8080}]
    containers.create_service("housing", definition("one"), 1, serviceRegistries=registries)
    containers.wait_until_stable("housing")
    clients += [RequestLoop(url) for _ in range(3)]
    for model in ("two", "three"):
        containers.ecs.update_service(cluster="models", service="housing", taskDefinition=definition(model))
        containers.wait_until_stable("housing")
        containers.until(lambda model=model: all(client.answers[-1:] == [(200, model)] for client in clients))
    for client in clients:
        client.stop()
        assert {status for status, _ in client.answers} == {200}
        models = [model for _, model in client.answers]
        assert list(dict.fromkeys(models))[-1] == "three"
