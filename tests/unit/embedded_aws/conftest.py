"""Fixtures for parts of the embedded AWS: loopback upstream servers, and everything that an HTTP API needs."""

from __future__ import annotations

import asyncio
import http.client
import json
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import pytest
from aiohttp import web

Upstream = Callable[[web.Request], Awaitable[web.StreamResponse]]


def until(condition: Callable[[], Any], seconds: float = 20) -> Any:
    """Poll `condition` and return its first true value. Fails after `seconds`."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := condition():
            return found
        time.sleep(0.02)
    raise AssertionError("it never became true")


@dataclass(frozen=True)
class Reply:
    """A complete HTTP response."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


def send(url: str, method: str = "GET", body: Any = None, headers: Mapping[str, str] | None = None) -> Reply:
    """Send one request on a new connection. The path is sent exactly as written."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=30)
    try:
        connection.request(method, parts.path + (f"?{parts.query}" if parts.query else ""), body, dict(headers or {}))
        answer = connection.getresponse()
        return Reply(answer.status, dict(answer.getheaders()), answer.read())
    finally:
        connection.close()


class Upstreams:
    """Small HTTP servers on loopback, on an event loop in a thread of its own."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        self._runners: dict[int, web.AppRunner] = {}

    def start(self, answer: Upstream) -> int:
        """Serve every path with `answer`; return the port."""
        app = web.Application(client_max_size=64 << 20)
        app.router.add_route("*", "/{tail:.*}", answer)
        return self.serve(app)

    def serve(self, app: web.Application) -> int:
        """Serve an application; return the port."""

        async def begin() -> int:
            runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
            await runner.setup()
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            port = int(runner.addresses[0][1])
            self._runners[port] = runner
            return port

        return asyncio.run_coroutine_threadsafe(begin(), self._loop).result(10)

    def stop(self, port: int) -> None:
        """Stop one server: from then on its port refuses connections."""
        asyncio.run_coroutine_threadsafe(self._runners.pop(port).cleanup(), self._loop).result(10)

    def close(self) -> None:
        for port in list(self._runners):
            self.stop(port)
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _end(self) -> None:
        """Cancel unfinished responses whose clients have disconnected."""
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@pytest.fixture
def upstreams() -> Iterator[Upstreams]:
    """Yield loopback servers that stop after the test."""
    running = Upstreams()
    yield running
    running.close()


@dataclass
class Edge:
    """Everything that an HTTP API needs: a Cloud Map service with SRV records and an AVAILABLE VPC link."""

    aws: Any
    api: Any
    cloud_map: Any
    namespace: str
    link: str
    services: int = 0

    def service(self, **settings: Any) -> dict[str, Any]:
        """Create a Cloud Map service, by default with SRV records and a custom health check."""
        self.services += 1
        chosen = {
            "DnsConfig": {"DnsRecords": [{"Type": "SRV", "TTL": 10}]},
            "HealthCheckCustomConfig": {"FailureThreshold": 1},
        } | settings
        return self.cloud_map.create_service(Name=f"service-{self.services}", NamespaceId=self.namespace, **chosen)[
            "Service"
        ]

    def register(self, service: str, port: int, instance: str = "task", **attributes: str) -> None:
        """Register a loopback port as an instance."""
        known = {"AWS_INSTANCE_IPV4": "127.0.0.1", "AWS_INSTANCE_PORT": str(port)} | attributes
        self.cloud_map.register_instance(ServiceId=service, InstanceId=instance, Attributes=known)

    def integrate(self, api: str, service_arn: str, **settings: Any) -> str:
        """Create a private integration; return its id."""
        chosen = {
            "IntegrationType": "HTTP_PROXY",
            "IntegrationMethod": "ANY",
            "ConnectionType": "VPC_LINK",
            "ConnectionId": self.link,
            "PayloadFormatVersion": "1.0",
            "IntegrationUri": service_arn,
        } | settings
        return self.api.create_integration(ApiId=api, **chosen)["IntegrationId"]

    def expose(
        self,
        *ports: int,
        routes: tuple[str, ...] = ("$default",),
        stage: Mapping[str, Any] | None = None,
        **integration: Any,
    ) -> tuple[str, str, str]:
        """Create an API in front of loopback ports; return its id, its URL and the Cloud Map service's id."""
        service = self.service()
        for number, port in enumerate(ports):
            self.register(service["Id"], port, f"task-{number}")
        made = self.api.create_api(Name="shop", ProtocolType="HTTP")
        target = self.integrate(made["ApiId"], service["Arn"], **integration)
        for key in routes:
            self.api.create_route(ApiId=made["ApiId"], RouteKey=key, Target=f"integrations/{target}")
        settings = {"StageName": "$default", "AutoDeploy": True} | dict(stage or {})
        self.api.create_stage(ApiId=made["ApiId"], **settings)
        return made["ApiId"], made["ApiEndpoint"], service["Id"]


@pytest.fixture(scope="module")
def edge(embedded_aws: Any) -> Edge:
    """Return an emptied embedded AWS with one namespace and one available VPC link."""
    ec2, api, cloud_map = (embedded_aws.client(name) for name in ("ec2", "apigatewayv2", "servicediscovery"))
    subnets = ec2.describe_subnets()["Subnets"][:2]
    cloud_map.create_private_dns_namespace(Name="models.internal", Vpc=subnets[0]["VpcId"])
    namespace = cloud_map.list_namespaces()["Namespaces"][0]["Id"]
    link = api.create_vpc_link(Name="edge", SubnetIds=[subnet["SubnetId"] for subnet in subnets])["VpcLinkId"]
    until(lambda: api.get_vpc_link(VpcLinkId=link)["VpcLinkStatus"] == "AVAILABLE")
    return Edge(embedded_aws, api, cloud_map, namespace, link)
