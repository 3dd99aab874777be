"""Rollouts as a client sees them: an API in front of a service, and requests without pause while versions change."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

pytestmark = pytest.mark.e2e


@dataclass
class RequestLoop:
    """Sends one request after the other until it is stopped; counts what came back."""

    url: str
    get: Any
    seen: Counter[tuple[int, str]] = field(default_factory=Counter)
    ended: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        while not self.ended.is_set():
            status, body = self.get(self.url)
            self.seen[status, json.loads(body)["model"] if status == 200 else body.decode()] += 1


@pytest.fixture(scope="module")
def exposed(containers: Any) -> tuple[str, str]:
    """A Cloud Map service's ARN and the URL of the HTTP API in front of it."""
    ec2, api, cloud_map = (containers.aws.client(name) for name in ("ec2", "apigatewayv2", "servicediscovery"))
    vpc = ec2.describe_subnets(SubnetIds=containers.subnets)["Subnets"][0]["VpcId"]
    cloud_map.create_private_dns_namespace(Name="models.internal", Vpc=vpc)
    namespace = cloud_map.list_namespaces()["Namespaces"][0]["Id"]
    registry = cloud_map.create_service(
        Name="model",
        NamespaceId=namespace,
        DnsConfig={"DnsRecords": [{"Type": "SRV", "TTL": 10}]},
        HealthCheckCustomConfig={"FailureThreshold": 1},
    )["Service"]["Arn"]
    link = api.create_vpc_link(Name="edge", SubnetIds=containers.subnets)["VpcLinkId"]
    containers.until(lambda: api.get_vpc_link(VpcLinkId=link)["VpcLinkStatus"] == "AVAILABLE")
    made = api.create_api(Name="model", ProtocolType="HTTP")
    integration = api.create_integration(
        ApiId=made["ApiId"],
        IntegrationType="HTTP_PROXY",
        IntegrationMethod="ANY",
        ConnectionType="VPC_LINK",
        ConnectionId=link,
        PayloadFormatVersion="1.0",
        IntegrationUri=registry,
    )["IntegrationId"]
    api.create_route(ApiId=made["ApiId"], RouteKey="$default", Target=f"integrations/{integration}")
    api.create_stage(ApiId=made["ApiId"], StageName="$default", AutoDeploy=True)
    return registry, made["ApiEndpoint"]


@pytest.fixture
def client(containers: Any, exposed: tuple[str, str], request: pytest.FixtureRequest) -> Iterator[RequestLoop]:
    """A service `NAME` of version `old` behind the API, and a client that already gets answers."""
    registry, url = exposed
    name = request.node.name.replace("_", "-")
    containers.create_service(
        name,
        containers.register_task_definition(containers.push_image(f"old-{name}")),
        serviceRegistries=[{"registryArn": registry, "containerName": "server", "containerPort": 8080}],
    )
    containers.wait_until_stable(name)
    sending = RequestLoop(f"{url}/", containers.get)
    thread = threading.Thread(target=sending.run)
    thread.start()
    try:
        containers.until(lambda: sending.seen)
        yield sending
    finally:
        sending.ended.set()
        thread.join()
        containers.ecs.delete_service(cluster="models", service=name, force=True)
        containers.until(lambda: containers.describe_service(name)["status"] == "INACTIVE")


def test_an_update_fails_no_request(containers: Any, client: RequestLoop, request: pytest.FixtureRequest) -> None:
    """While version after version rolls out, and while the service grows and shrinks, every request is answered."""
    name, ecs = request.node.name.replace("_", "-"), containers.ecs
    for version in ("second", "third"):
        definition = containers.register_task_definition(containers.push_image(f"{version}-{name}"))
        ecs.update_service(cluster="models", service=name, taskDefinition=definition)
        service = containers.wait_until_stable(name)
        assert service["taskDefinition"] == definition
        before = client.seen.total()
        containers.until(lambda before=before: client.seen.total() > before + 10)
    for count in (3, 1):
        ecs.update_service(cluster="models", service=name, desiredCount=count)
        containers.wait_until_stable(name)
    # A forced deployment of the same definition replaces its tasks.
    [task] = containers.tasks(name)
    ecs.update_service(cluster="models", service=name, forceNewDeployment=True)
    containers.wait_until_stable(name)
    assert containers.tasks(name)[0]["taskArn"] != task["taskArn"]
    assert {status for status, _ in client.seen} == {200}
    assert {model for _, model in client.seen} == {f"{v}-{name}" for v in ("old", "second", "third")}
    listed = ecs.list_service_deployments(cluster="models", service=name)["serviceDeployments"]
    assert [deployment["status"] for deployment in listed] == ["SUCCESSFUL"] * 4
    assert len(containers.tasks(name)) == 1


def test_a_crash_loop_rolls_back_unseen(containers: Any, client: RequestLoop, request: pytest.FixtureRequest) -> None:
    """The circuit breaker ends a version that crashes; the old task serves all the time and is not replaced."""
    name, ecs = request.node.name.replace("_", "-"), containers.ecs
    [task], old = containers.tasks(name), containers.describe_service(name)
    bad = containers.register_task_definition(containers.push_image(f"bad-{name}"), {"CRASH": "yes"})
    ecs.update_service(cluster="models", service=name, taskDefinition=bad)
    assert containers.describe_service(name)["taskDefinition"] == bad

    def ended() -> Any:
        listed = ecs.list_service_deployments(cluster="models", service=name)["serviceDeployments"]
        return listed if listed[0]["status"] == "ROLLBACK_SUCCESSFUL" else None

    [failed, first] = containers.until(ended)
    service = containers.wait_until_stable(name)
    assert service["taskDefinition"] == old["taskDefinition"]
    assert service["deployments"][0]["id"] == old["deployments"][0]["id"]
    assert [t["taskArn"] for t in containers.tasks(name)] == [task["taskArn"]]
    assert first["status"] == "SUCCESSFUL"
    [described] = ecs.describe_service_deployments(serviceDeploymentArns=[failed["serviceDeploymentArn"]])[
        "serviceDeployments"
    ]
    assert described["deploymentCircuitBreaker"] == {"status": "TRIGGERED", "failureCount": 3, "threshold": 3}
    arns = [described["rollback"]["serviceRevisionArn"], described["targetServiceRevision"]["arn"]]
    revisions = ecs.describe_service_revisions(serviceRevisionArns=arns)["serviceRevisions"]
    assert [revision["taskDefinition"] for revision in revisions] == [old["taskDefinition"], bad]
    messages = [event["message"] for event in service["events"]]
    assert f"(service {name}) rolling back to deployment {old['deployments'][0]['id']}." in messages
    stopped = [task for task in containers.tasks(name, "STOPPED") if task["taskDefinitionArn"] == bad]
    assert len(stopped) >= 3
    assert {task["containers"][0]["exitCode"] for task in stopped} == {3}
    assert {status for status, _ in client.seen} == {200}


def test_a_sick_version_never_takes_traffic(
    containers: Any, client: RequestLoop, request: pytest.FixtureRequest
) -> None:
    """A version that never gets healthy is rolled back; not one request reached it."""
    name = request.node.name.replace("_", "-")
    definition = containers.register_task_definition(containers.push_image(f"sick-{name}"), {"SICK": "yes"})
    breaker = {"enable": True, "rollback": True, "thresholdConfiguration": {"type": "COUNT", "value": 1}}
    containers.ecs.update_service(
        cluster="models",
        service=name,
        taskDefinition=definition,
        deploymentConfiguration={"deploymentCircuitBreaker": breaker},
    )
    containers.until(lambda: containers.describe_service(name)["taskDefinition"] != definition)
    containers.wait_until_stable(name)
    stopped = [task for task in containers.tasks(name, "STOPPED") if task["taskDefinitionArn"] == definition]
    assert [task["stoppedReason"] for task in stopped] == ["Task failed container health checks"]
    assert set(client.seen) == {(200, f"old-{name}")}
