"""Task definition and service, on real tasks of the embedded ECS: what is rolled out, drifts, fails and goes."""

from __future__ import annotations

from typing import Any

import pytest
import xgboost

from controller.bundle import build_bundle
from controller.bundle.xgboost_model import identify_model
from controller.core.graph import Node
from controller.core.status import Failed, Ready, Waiting
from controller.errors import ForeignError, MoorageError, RolledBackError

PREREQUISITES = {
    "ec2/network",
    "ec2/security-group",
    "ecs/cluster",
    "iam/role",
    "logs/log-group",
    "s3/bucket",
    "servicediscovery/namespace",
    "servicediscovery/service",
}
DEFINITION, SERVICE = "ecs/task-definition", "ecs/service"


@pytest.fixture(scope="module")
def selected(harness: Any, spec_context: Any, embedded_aws: Any) -> Any:
    """A model that can be served and its image, as the selection and the image tell of them."""
    matrix = xgboost.DMatrix([[0.0, 1.0], [1.0, 0.0], [2.0, 1.0]], label=[0.0, 1.0, 2.0])
    booster = xgboost.train({"nthread": 1, "verbosity": 0, "objective": "reg:squarederror"}, matrix, 2)
    bundle = build_bundle(identify_model(bytes(booster.save_raw("ubj"))), name="m", features=("a", "b"), target="y")
    s3 = embedded_aws.client("s3")
    s3.create_bucket(Bucket="models")
    for name, content in bundle.files().items():
        s3.put_object(Bucket="models", Key=f"b/{name}", Body=content)
    reported = {
        "version": 1,
        "model_sha256": bundle.manifest.model.sha256,
        "bundle": "s3://models/b/",
        "fingerprint": "f",
    }
    given = {("model/selection", name): value for name, value in reported.items()}
    for kind in ("ecr/repository", "ecr/base-image", "ecr/image"):
        made = harness.apply(harness.node(kind, spec_context("m"), given)).outputs
        given |= {(kind, name): value for name, value in made.items()}
    return given


class ServiceNodes:
    """The two nodes of one spec, on ground that was made for them."""

    def __init__(self, harness: Any, context: Any, selected: Any, name: str) -> None:
        self.harness, self.name, self.context = harness, name, context
        self.resolved = harness.apply_prerequisites(context(name), PREREQUISITES, selected)

    def definition(self, **service: Any) -> Node:
        (node,) = self.harness.registry[DEFINITION].expand(self.context(self.name, service=service))
        return self.resolved(node)

    def service(self, arn: str, **service: Any) -> Node:
        (node,) = self.harness.registry[SERVICE].expand(self.context(self.name, service=service))
        return self.resolved(type(node)(node.key, node.identity, {**node.desired, "taskDefinition": arn}))


def with_missing_image(node: Node) -> Node:
    """The definition with an image that nobody ever pushed."""
    (container,) = node.desired["containerDefinitions"]
    image = container["image"].partition("@")[0] + "@sha256:" + "0" * 64
    return type(node)(
        node.key, node.identity, {**node.desired, "containerDefinitions": [{**container, "image": image}]}
    )


@pytest.fixture
def service_nodes(harness: Any, spec_context: Any, selected: Any) -> Any:
    """`lane(name)`: a spec of that name, and all that its service stands on."""
    return lambda name: ServiceNodes(harness, spec_context, selected, name)


def test_definitions_are_revised_only_when_they_differ(harness: Any, service_nodes: Any, embedded_aws: Any) -> None:
    """A change is one field and one more revision; a stranger's variable is drift; every revision goes at the end."""
    spec = service_nodes("defined")
    node = spec.definition(env={"A": "1"})
    assert harness.apply_until_stable(node).outputs["revision"] == 1
    bigger = spec.definition(env={"A": "1"}, cpu="0.5 vCPU")
    assert [(c.path, c.old, c.new) for c in harness.changes(bigger)] == [("cpu", "256", "512")]
    assert harness.apply_until_stable(bigger).outputs["revision"] == 2
    ecs = embedded_aws.client("ecs")
    live = ecs.describe_task_definition(taskDefinition=node.identity["family"])["taskDefinition"]
    (container,) = live["containerDefinitions"]
    container["environment"].append({"name": "THEIRS", "value": "x"})
    roles = ("executionRoleArn", "taskRoleArn")
    kept = ("family", "cpu", "memory", "networkMode", "requiresCompatibilities", "runtimePlatform", *roles)
    tags = [{"key": key, "value": value} for key, value in node.desired["tags"].items()]
    ecs.register_task_definition(**{n: live[n] for n in kept}, containerDefinitions=[container], tags=tags)
    assert [c.path for c in harness.changes(bigger)] == ["containerDefinitions.server.environment.THEIRS"]
    assert harness.apply_until_stable(bigger).outputs["revision"] == 4
    harness.delete_until_absent(bigger)


def test_the_container_is_as_agreed(service_nodes: Any) -> None:
    """Pinned image, read-only root, liveness check, logs, labels that tell what serves; secrets are addresses."""
    spec = service_nodes("agreed")
    arn = "arn:aws:ssm:us-east-1:123456789012:parameter/salt"
    (container,) = spec.definition(secrets=[{"name": "SALT", "valueFrom": arn}]).desired["containerDefinitions"]
    assert "@sha256:" in container["image"]
    assert container["readonlyRootFilesystem"] is True
    assert container["healthCheck"]["command"][-1] == "http://127.0.0.1:8080/livez"
    assert container["dockerLabels"] == {"dev.moorage.model-version": "1", "dev.moorage.fingerprint": "f"}
    assert container["secrets"] == [{"name": "SALT", "valueFrom": arn}]


def test_a_foreign_family_is_refused(harness: Any, service_nodes: Any, embedded_aws: Any) -> None:
    """A family of our name without our tags is somebody else's."""
    node = service_nodes("squatted").definition()
    embedded_aws.client("ecs").register_task_definition(
        family=node.identity["family"], containerDefinitions=[{"name": "x", "image": "x", "memory": 64}]
    )
    with pytest.raises(ForeignError):
        harness.apply(node)


def test_service_lifecycle(harness: Any, service_nodes: Any, embedded_aws: Any) -> None:
    """Created, ready once the intended tasks are healthy, rolled to another revision, corrected, scaled to
    zero, gone.
    """
    spec = service_nodes("living")
    first = harness.apply_until_stable(spec.definition()).outputs["arn"]
    node = spec.service(first)
    assert isinstance(harness.registry[SERVICE].ready(node, harness.apply(node)), Waiting)
    seen = harness.wait_until_ready(node)
    assert [task["health"] for task in seen.outputs["tasks"]] == ["HEALTHY"]
    harness.apply_until_stable(node)

    second = harness.apply(spec.definition(cpu="0.5 vCPU")).outputs["arn"]
    moved = spec.service(second, desiredCount=1)
    assert [(c.path, c.old, c.new) for c in harness.changes(moved)] == [("taskDefinition", first, second)]
    harness.apply(moved)
    assert isinstance(harness.verdict(moved), Waiting)
    assert {task["taskDefinition"] for task in harness.wait_until_ready(moved).outputs["tasks"]} == {second}

    ecs, where = embedded_aws.client("ecs"), {"cluster": "models", "service": node.identity["name"]}
    ecs.update_service(**where, desiredCount=2)
    assert [(c.path, c.old, c.new) for c in harness.changes(moved)] == [("desiredCount", 2, 1)]
    harness.apply_until_stable(moved)
    deployments = ecs.list_service_deployments(**where)["serviceDeployments"]
    assert len(deployments) == 2, "a correction of the count is no deployment"

    resting = spec.service(second, desiredCount=0)
    harness.apply(resting)
    harness.wait_until_ready(resting)
    assert harness.verdict(resting) == Ready("ScaledToZero", "no task runs, as declared")
    harness.delete_until_absent(resting)


def test_rolled_back_rollout_is_not_retried_unasked(harness: Any, service_nodes: Any) -> None:
    """AWS goes back; that is a failure with AWS's reason.

    The same revision is tried again only once that was asked for; another one is.
    """
    spec = service_nodes("failing")
    first = harness.apply_until_stable(spec.definition()).outputs["arn"]
    harness.apply(spec.service(first))
    harness.wait_until_ready(spec.service(first))
    bad = spec.service(harness.apply(with_missing_image(spec.definition())).outputs["arn"])
    harness.apply(bad)
    assert isinstance(until_not_waiting(harness, bad), Failed)
    harness.wait_until_ready(spec.service(first))  # what served serves again
    calls = harness.aws.call_counter.counts_by_name()["ecs.update_service"]
    with pytest.raises(RolledBackError, match=r"rolled .*-\w+:2 back.*circuit breaker"):
        harness.apply(bad)
    assert harness.aws.call_counter.counts_by_name()["ecs.update_service"] == calls
    assert "rolled back" in mark_for_retry(harness, bad)
    assert mark_for_retry(harness, bad) == "", "what is forgiven once is forgiven"
    harness.apply(bad)
    assert harness.aws.call_counter.counts_by_name()["ecs.update_service"] == calls + 1
    assert isinstance(until_not_waiting(harness, bad), Failed)
    harness.wait_until_ready(spec.service(first))
    with pytest.raises(RolledBackError, match="moorage retry"):
        harness.apply(bad)
    assert "rolled back" in mark_for_retry(harness, bad)
    third = spec.service(harness.apply(spec.definition()).outputs["arn"])
    harness.apply(third)
    harness.wait_until_ready(third)
    harness.delete_until_absent(third)


def mark_for_retry(harness: Any, node: Node) -> str:
    """What is marked for another try, in words."""
    reported: str = harness.registry[SERVICE].retry(harness.aws, node, harness.observe(node)[node.key])
    return reported


def until_not_waiting(harness: Any, node: Node) -> Any:
    """Look until it is decided. A verdict may come from AWS's list of deployments, or from the refusal to try again."""
    while isinstance(verdict := harness.verdict(node), Waiting):
        if verdict.reason == "Deploying":
            try:
                harness.apply(node)
            except MoorageError as error:
                return Failed(type(error).__name__, str(error))
    return verdict


def test_service_that_cannot_start_is_reported(harness: Any, service_nodes: Any) -> None:
    """Without an earlier deployment there is nothing to go back to: it failed, with what ECS says of it."""
    spec = service_nodes("stillborn")
    node = spec.service(harness.apply(with_missing_image(spec.definition())).outputs["arn"])
    harness.apply(node)
    verdict = until_not_waiting(harness, node)
    assert isinstance(verdict, Failed)
    assert verdict.reason == "RolloutFailed"
    assert "circuit breaker" in verdict.message
    first = harness.observe(node)[node.key].outputs["deployment"]["id"]
    assert "deployment failed" in mark_for_retry(harness, node)
    assert harness.observe(node)[node.key].outputs["deployment"]["id"] != first
    assert isinstance(harness.verdict(node), Waiting)
    harness.delete_until_absent(node)


def test_manually_deleted_service_is_recreated(harness: Any, service_nodes: Any, embedded_aws: Any) -> None:
    """The token of the new one is another, or AWS would answer with the old one."""
    spec = service_nodes("returning")
    node = spec.service(harness.apply(spec.definition()).outputs["arn"], desiredCount=0)
    harness.apply(node)
    first = harness.wait_until_ready(node).outputs["deployment"]
    embedded_aws.client("ecs").delete_service(cluster="models", service=node.identity["name"], force=True)
    assert harness.observe(node) == {}
    harness.apply(node)
    assert harness.wait_until_ready(node).outputs["deployment"]["id"] != first["id"]
    harness.delete_until_absent(node)


def test_a_foreign_service_is_refused(harness: Any, service_nodes: Any, embedded_aws: Any) -> None:
    """One of our name that somebody else made is not touched."""
    spec = service_nodes("taken")
    arn = harness.apply(spec.definition()).outputs["arn"]
    node = spec.service(arn, desiredCount=0)
    network = node.desired["networkConfiguration"]
    embedded_aws.client("ecs").create_service(
        cluster="models",
        serviceName=node.identity["name"],
        taskDefinition=arn,
        desiredCount=0,
        launchType="FARGATE",
        networkConfiguration=network,
    )
    with pytest.raises(ForeignError, match="nobody that Moorage knows"):
        harness.apply(node)


def test_many_services_are_few_reads(harness: Any, service_nodes: Any) -> None:
    """Twelve services are two calls, and no task is looked at where none can be running.

    No cluster means no service.
    """
    spec = service_nodes("many")
    node = spec.service(harness.apply(spec.definition()).outputs["arn"], desiredCount=0)
    harness.apply(node)
    harness.wait_until_ready(node)
    others = [
        type(node)(node.key._replace(name=f"other-{n}"), {**node.identity, "name": f"other-{n}"}) for n in range(11)
    ]
    before = harness.aws.call_counter.counts_by_name()
    assert harness.observe(node, *others).keys() == {node.key}
    after = harness.aws.call_counter.counts_by_name()
    assert {name: n - before.get(name, 0) for name, n in after.items() if n > before.get(name, 0)} == {
        "ecs.describe_services": 2
    }
    nowhere = type(node)(node.key, {**node.identity, "cluster": "nowhere"}, node.desired)
    assert harness.observe(nowhere) == {}
    assert harness.delete(nowhere) is None
    harness.delete_until_absent(node)
