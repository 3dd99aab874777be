"""An ECS task definition family: each change registers a new revision, and the newest one is the desired one.

A revision that a spec names is used unchanged: it is read, and never written.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from controller.aws import AwsClient
from controller.aws.batch_failures import describe_failures
from controller.core.field_policy import FieldPolicy, normalise_number
from controller.core.graph import Node, Observed, Target
from controller.core.ownership import parse_tags, to_tag_list
from controller.core.plan import Step
from controller.core.spec_context import SpecContext
from controller.core.status import Waiting
from controller.core.values import Format, Key, Ref, Value
from controller.errors import MissingError
from controller.resources.base import PermissionScope, Resource, iter_batches
from controller.spec.models import Service

CONTAINER_NAME = "server"
CONTAINER_PORT = 8080
_ARCHITECTURES = {"amd64": "X86_64", "arm64": "ARM64"}


class TaskDefinition(Resource):
    """One family for each ModelService, with one container."""

    kind = "ecs/task-definition"
    superseded_policy = "collect"
    revision_output = "revision"
    reference_outputs = frozenset({"arn"})
    policy = FieldPolicy(
        revisioned=True,
        volatile=frozenset({"arn", "revision"}),
        keyed={
            "containerDefinitions": "name",
            "containerDefinitions.*.environment": "name",
            "containerDefinitions.*.secrets": "name",
            "containerDefinitions.*.portMappings": "containerPort",
        },
        owned=frozenset(
            {
                "requiresCompatibilities",
                "containerDefinitions",
                # A command or a user in a revision made by hand would be deployed with it.
                "containerDefinitions.*",
                "containerDefinitions.*.environment",
                "containerDefinitions.*.secrets",
                "containerDefinitions.*.portMappings",
            }
        ),
        # https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_ContainerDefinition.html, API_HealthCheck.html
        defaults={
            "containerDefinitions.*.cpu": 0,
            "containerDefinitions.*.essential": True,
            "containerDefinitions.*.portMappings.*.protocol": "tcp",
            "containerDefinitions.*.healthCheck.interval": 30,
            "containerDefinitions.*.healthCheck.timeout": 5,
            "containerDefinitions.*.healthCheck.retries": 3,
            "containerDefinitions.*.healthCheck.startPeriod": 0,
            "runtimePlatform.cpuArchitecture": "X86_64",
            "runtimePlatform.operatingSystemFamily": "LINUX",
        },
        normalise={"cpu": normalise_number, "memory": normalise_number},
        sets=frozenset({"requiresCompatibilities"}),
    )
    permissions = {
        "ecs.describe_task_definition": frozenset({"ecs:DescribeTaskDefinition"}),
        "ecs.register_task_definition": frozenset({"ecs:RegisterTaskDefinition", "ecs:TagResource", "iam:PassRole"}),
        "ecs.list_task_definitions": frozenset({"ecs:ListTaskDefinitions"}),
        "ecs.deregister_task_definition": frozenset({"ecs:DeregisterTaskDefinition"}),
        "ecs.delete_task_definitions": frozenset({"ecs:DeleteTaskDefinitions"}),
    }
    scopes = {"ecs:": (PermissionScope("ecs:{region}:{account}:task-definition/{family}:*"),)}
    retention_category = "service"

    def expand(self, context: SpecContext) -> Iterable[Node]:
        """Return one family for Fargate, or the revision that the spec names."""
        if context.service is None:
            return
        service, image = context.service.spec.service, context.service.spec.image
        if service.task_definition is not None:
            family, _, revision = service.task_definition.rpartition(":")
            named = {"family": family, "revision": int(revision)}
            yield Node(context.own_key(self.kind), named, reference_field="spec.service.taskDefinition")
            return
        desired = {
            "requiresCompatibilities": ["FARGATE"],
            "networkMode": "awsvpc",
            "cpu": str(service.cpu),
            "memory": str(service.memory),
            "runtimePlatform": {
                "cpuArchitecture": _ARCHITECTURES[image.architecture],
                "operatingSystemFamily": "LINUX",
            },
            "executionRoleArn": Ref(context.own_key("iam/role", "execution"), "arn"),
            "taskRoleArn": Ref(context.own_key("iam/role", "task"), "arn"),
            "containerDefinitions": [_container_definition(context, service)],
            "tags": context.tags(),
        }
        yield Node(context.own_key(self.kind), {"family": context.physical_name(limit=255)}, desired)

    def observe(self, aws: AwsClient, targets: Sequence[Target]) -> dict[Key, Observed]:
        """Read the newest active revision of each family, or the named one; there is no call for several."""
        found = ((target.key, _find_revision(aws, target.identity)) for target in targets)
        return {key: observed for key, observed in found if observed is not None}

    def apply(self, aws: AwsClient, step: Step, seen: Observed | None) -> Observed:
        """Register a revision. After a crash, the next read of the family shows whether one was registered."""
        del seen
        family, desired = step.node.identity["family"], dict(step.node.desired)
        tags = to_tag_list(desired.pop("tags"), "key", "value")
        return _observed(aws.write("ecs", "register_task_definition", family=family, tags=tags, **desired))

    def status_facts(self, seen: Observed) -> Mapping[str, Value]:
        """Return the desired revision; for a named one also its image, which nothing else shows."""
        reported = {"taskDefinition": seen.outputs["arn"]}
        return {**reported, "image": seen.outputs["image"]} if "image" in seen.outputs else reported

    def delete(self, aws: AwsClient, target: Target) -> Waiting | None:
        """Deregister every revision, or the named one, and have AWS delete it, which it does once no task runs it."""
        family = target.identity["family"]
        if "revision" in target.identity:
            return _remove_revision(aws, f"{family}:{target.identity['revision']}")
        # AWS may not list a revision as deregistered yet.
        inactive = dict.fromkeys(_list_revisions(aws, family, "INACTIVE"))
        for arn in _list_revisions(aws, family, "ACTIVE"):
            aws.write("ecs", "deregister_task_definition", taskDefinition=arn)
            inactive[arn] = None
        return _delete_revisions(aws, list(inactive))


def _remove_revision(aws: AwsClient, revision: str) -> Waiting | None:
    """Delete one revision. A deregistered one needs only the remaining calls."""
    try:
        live = aws.read("ecs", "describe_task_definition", taskDefinition=revision)["taskDefinition"]
    except MissingError:
        return None
    if live["status"] == "ACTIVE":
        aws.write("ecs", "deregister_task_definition", taskDefinition=revision)
    return None if live["status"] == "DELETE_IN_PROGRESS" else _delete_revisions(aws, [revision])


def _delete_revisions(aws: AwsClient, revisions: Sequence[str]) -> Waiting | None:
    """Have AWS delete revisions, ten with each call. It reports those that it still considers active."""
    answers = [
        aws.write("ecs", "delete_task_definitions", taskDefinitions=list(batch))
        for batch in iter_batches(revisions, 10)
    ]
    left = "; ".join(filter(None, map(describe_failures, answers)))
    return Waiting("NotDeleted", left, failing=True) if left else None


def _container_definition(context: SpecContext, service: Service) -> dict[str, Value]:
    selection, health = context.own_key("model/selection"), service.health
    cleared = context.service is not None and context.service.spec.image.needs_clearance
    return {
        "name": CONTAINER_NAME,
        "image": Ref(context.own_key("ecr/clearance" if cleared else "ecr/image"), "uri"),
        "essential": True,
        "readonlyRootFilesystem": True,
        "portMappings": [{"containerPort": CONTAINER_PORT, "hostPort": CONTAINER_PORT, "protocol": "tcp"}],
        "environment": [{"name": name, "value": value} for name, value in sorted(service.env.items())],
        "secrets": [{"name": secret.name, "valueFrom": secret.value_from} for secret in service.secrets],
        "dockerLabels": {
            "dev.moorage.model-version": Format("{}", (Ref(selection, "version"),)),
            "dev.moorage.fingerprint": Ref(selection, "fingerprint"),
        },
        "stopTimeout": service.stop_timeout,
        # Liveness: a busy task must not be killed for not being ready.
        "healthCheck": {
            "command": [
                "CMD",
                "python",
                "-m",
                "inference_server.health",
                "--url",
                f"http://127.0.0.1:{CONTAINER_PORT}/livez",
            ],
            "interval": health.interval,
            "timeout": health.timeout,
            "retries": health.retries,
            "startPeriod": health.start_period,
        },
        "logConfiguration": {
            "logDriver": "awslogs",
            "options": {
                "awslogs-group": Ref(context.own_key("logs/log-group"), "name"),
                "awslogs-region": context.location.region,
                "awslogs-stream-prefix": CONTAINER_NAME,
            },
        },
    }


def _find_revision(aws: AwsClient, identity: Mapping[str, Value]) -> Observed | None:
    family, revision = identity["family"], identity.get("revision")
    name = family if revision is None else f"{family}:{revision}"
    try:
        answer = aws.read("ecs", "describe_task_definition", taskDefinition=name, include=["TAGS"])
    except MissingError:
        return None
    newest = _observed(answer)
    if revision is None:
        return newest
    # A deregistered revision can't be deployed any more.
    if answer["taskDefinition"]["status"] != "ACTIVE":
        return None
    images = ", ".join(container["image"] for container in newest.fields["containerDefinitions"])
    return Observed(newest.fields, {**newest.outputs, "image": images})


def _observed(answer: Mapping[str, Any]) -> Observed:
    live = answer["taskDefinition"]
    tags = parse_tags(answer.get("tags", ()), "key", "value")
    outputs = {"arn": live["taskDefinitionArn"], "revision": live["revision"]}
    return Observed({**{name: live.get(name) for name in _FIELDS}, "tags": tags}, outputs)


_FIELDS = (
    "requiresCompatibilities",
    "networkMode",
    "cpu",
    "memory",
    "runtimePlatform",
    "executionRoleArn",
    "taskRoleArn",
    "containerDefinitions",
)


def _list_revisions(aws: AwsClient, family: str, status: str) -> list[str]:
    arns = aws.iter_items("ecs", "list_task_definitions", "taskDefinitionArns", familyPrefix=family, status=status)
    return [arn for arn in arns if arn.rpartition("/")[2].rpartition(":")[0] == family]
