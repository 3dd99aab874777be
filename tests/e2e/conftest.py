"""A team that uses the command line; and a place to run containers in, with images pushed through ECR's own API."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import Any

import pytest

from embedded_aws import control
from tests.cli_workspace import CliWorkspace

OCI_LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
# A stand-in for the inference server: answers every GET with the model layer's manifest and its own variables, and
# drains on SIGTERM, for DRAIN seconds. CRASH makes it exit at once, SICK (or a GET of /sicken) makes it answer 500.
SERVER = """
import http.server, json, os, pathlib, signal, sys, threading, time
if os.environ.get("CRASH"):
    print("crashing, as told", flush=True)
    sys.exit(3)
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.0"
    def do_GET(self):
        body = json.dumps({"model": pathlib.Path("/opt/model/manifest.json").read_text(), "env": dict(os.environ)})
        if self.path == "/sicken":
            os.environ["SICK"] = "yes"
        self.send_response(500 if os.environ.get("SICK") else 200)
        self.end_headers()
        self.wfile.write(body.encode())
    def log_message(self, *_): print("served", self.path, flush=True)
class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 128
server = Server(("0.0.0.0", 8080), Handler)
def drain():
    time.sleep(float(os.environ.get("DRAIN", "0")))
    server.shutdown()
signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=drain).start())
print("serving", flush=True)
server.serve_forever()
server.server_close()
"""
CHECK = ["CMD", "python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8080/livez', timeout=3)"]


def until(condition: Callable[[], Any], seconds: float = 120) -> Any:
    """Ask until the answer is true; fail when it never is."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := condition():
            return found
        time.sleep(0.05)
    raise AssertionError("it never became true")


def http_get(url: str) -> tuple[int, bytes]:
    """GET on a connection of its own; a refused connection is status 0."""
    try:
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url, timeout=10) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as refused:
        return refused.code, refused.read()
    except OSError as broken:
        return 0, str(broken).encode()


def archive(members: Mapping[str, bytes]) -> bytes:
    """A gzipped tar of regular files."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return gzip.compress(buffer.getvalue(), mtime=0)


@dataclass
class Containers:
    """One cluster and what its tasks need."""

    aws: Any
    cluster: str = "models"
    ecr: Any = field(init=False)
    ecs: Any = field(init=False)
    role: str = field(init=False)
    subnets: list[str] = field(init=False)

    def __post_init__(self) -> None:
        # Who calls here is no controller, and waits for nothing: it gets fair weather, whatever the run's is, until the
        # next reset or a DELETE.
        self.aws.call_admin_endpoint("weather", "PUT", {"kinds": []})
        self.ecr, self.ecs, iam, ec2, logs = (self.aws.client(n) for n in ("ecr", "ecs", "iam", "ec2", "logs"))
        self.ecs.create_cluster(clusterName=self.cluster)
        self.ecr.create_repository(repositoryName="model")
        trust = {"Effect": "Allow", "Principal": {"Service": "ecs-tasks.amazonaws.com"}, "Action": "sts:AssumeRole"}
        document = json.dumps({"Version": "2012-10-17", "Statement": [trust]})
        self.role = iam.create_role(RoleName="execution", AssumeRolePolicyDocument=document)["Role"]["Arn"]
        self.subnets = [ec2.describe_subnets()["Subnets"][0]["SubnetId"]]
        logs.create_log_group(logGroupName="/models")

    until = staticmethod(until)
    get = staticmethod(http_get)

    def push_blob(self, content: bytes) -> dict[str, Any]:
        """Upload a blob unless it is there; return its descriptor without a media type."""
        digest = f"sha256:{sha256(content).hexdigest()}"
        there = self.ecr.batch_check_layer_availability(repositoryName="model", layerDigests=[digest])["layers"]
        if not there:
            upload = {
                "repositoryName": "model",
                "uploadId": self.ecr.initiate_layer_upload(repositoryName="model")["uploadId"],
            }
            self.ecr.upload_layer_part(**upload, partFirstByte=0, partLastByte=len(content) - 1, layerPartBlob=content)
            self.ecr.complete_layer_upload(**upload, layerDigests=[digest])
        return {"digest": digest, "size": len(content)}

    def push_image(
        self, model: str, *, layers: Sequence[bytes] | None = None, architecture: str = "amd64", **config: Any
    ) -> str:
        """Push an image whose model layer's manifest reads `model`; return its reference, pinned by digest."""
        files = {"opt/model/manifest.json": model.encode(), "opt/model/model.ubj": b"UBJ"}
        settings = {"Entrypoint": ["python"], "Cmd": ["-c", SERVER], "Env": ["FROM_IMAGE=yes", "PATH=/nowhere"]}
        document = {"os": "linux", "architecture": architecture, "config": settings | config}
        described = self.push_blob(json.dumps(document).encode())
        note = {"mediaType": OCI_LAYER, "annotations": {"dev.moorage.layer": "model"}}
        manifest = {
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": described | {"mediaType": "application/vnd.oci.image.config.v1+json"},
            "layers": [self.push_blob(layer) | note for layer in (layers or [archive(files)])],
        }
        pushed = self.ecr.put_image(repositoryName="model", imageManifest=json.dumps(manifest), imageTag=model)
        return f"123456789012.dkr.ecr.us-east-1.amazonaws.com/model@{pushed['image']['imageId']['imageDigest']}"

    def register_task_definition(
        self,
        image: str,
        environment: Mapping[str, str] | None = None,
        *,
        role: str = "",
        sidecars: Sequence[Any] = (),
        **container: Any,
    ) -> str:
        """Register a task definition of the one family; return its ARN."""
        server = {
            "name": "server",
            "image": image,
            "portMappings": [{"containerPort": 8080}],
            "environment": [{"name": name, "value": value} for name, value in (environment or {}).items()],
            "healthCheck": {"command": CHECK, "interval": 5, "retries": 2},
            "logConfiguration": {
                "logDriver": "awslogs",
                "options": {
                    "awslogs-group": "/models",
                    "awslogs-region": "us-east-1",
                    "awslogs-stream-prefix": "m",
                },
            },
            "stopTimeout": 10,
        }
        return self.ecs.register_task_definition(
            family="model",
            requiresCompatibilities=["FARGATE"],
            networkMode="awsvpc",
            cpu="256",
            memory="512",
            executionRoleArn=role or self.role,
            containerDefinitions=[{k: v for k, v in (server | container).items() if v is not None}, *sidecars],
        )["taskDefinition"]["taskDefinitionArn"]

    def create_service(self, name: str, definition: str, count: int = 1, **settings: Any) -> dict[str, Any]:
        """Create a service, circuit breaker on."""
        breaker = {"deploymentCircuitBreaker": {"enable": True, "rollback": True}}
        return self.ecs.create_service(
            cluster=self.cluster,
            serviceName=name,
            taskDefinition=definition,
            desiredCount=count,
            launchType="FARGATE",
            networkConfiguration={"awsvpcConfiguration": {"subnets": self.subnets}},
            **{"deploymentConfiguration": breaker, **settings},
        )["service"]

    def describe_service(self, name: str) -> dict[str, Any]:
        """Describe a service."""
        return self.ecs.describe_services(cluster=self.cluster, services=[name])["services"][0]

    def wait_until_stable(self, name: str) -> dict[str, Any]:
        """Wait until the service has one deployment, COMPLETED, with all its tasks; return it."""

        def done() -> Any:
            now = self.describe_service(name)
            rollouts = [deployment["rolloutState"] for deployment in now["deployments"]]
            return now if rollouts == ["COMPLETED"] and now["runningCount"] == now["desiredCount"] else None

        return until(done)

    def tasks(self, name: str, status: str = "RUNNING") -> list[dict[str, Any]]:
        """Describe a service's tasks of a desired status."""
        arns = self.ecs.list_tasks(cluster=self.cluster, serviceName=name, desiredStatus=status)["taskArns"]
        return self.ecs.describe_tasks(cluster=self.cluster, tasks=arns)["tasks"] if arns else []

    def address(self, task: Mapping[str, Any]) -> str:
        """The task's own address."""
        [attachment] = task["attachments"]
        return next(d["value"] for d in attachment["details"] if d["name"] == "privateIPv4Address")


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CliWorkspace]:
    """The demo's specs and an embedded AWS of their own, reconciled once from nothing."""
    team = CliWorkspace(tmp_path_factory.mktemp("team"))
    team.copy_from_repository()
    try:
        first = team.reconcile()
        assert first.code == 0, first.err
        assert first.json["steps"]["create"] > 20
        yield team
    finally:
        team.stop_embedded_aws()


@pytest.fixture(scope="module")
def containers(embedded_aws: Any) -> Containers:
    """A cluster in an emptied embedded AWS."""
    return Containers(embedded_aws)


@pytest.fixture
def containers_at(tmp_path: Any, running_aws: Any) -> Iterator[Callable[[str], Containers]]:
    """Make a cluster in an embedded AWS of the test's own; it is ended after the test."""
    homes = []

    def start(name: str) -> Containers:
        homes.append(tmp_path / name)
        found = control.up(homes[-1])
        return Containers(replace(running_aws, endpoint=found.endpoint, home=homes[-1]))

    yield start
    for home in homes:
        control.down(home)
