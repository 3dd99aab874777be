"""An ECS task definition family: each change registers a new revision, and the newest one is what is wanted.

A revision that a spec names is used as it is: it is looked at, and never written.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from controller.aws import Aws
from controller.aws.failures import left_undone
from controller.core.graph import Node, Observed, Target
from controller.core.ownership import tag_list, tags_of
from controller.core.plan import Step
from controller.core.policy import FieldPolicy, as_text
from controller.core.status import Waiting
from controller.core.values import Format, Key, Ref, Value
from controller.core.wanted import Wanted
from controller.errors import MissingError
from controller.resources.base import Resource, Scope, batches
from controller.spec.models import Service

CONTAINER = "server"
PORT = 8080
_ARCHITECTURES = {"amd64": "X86_64", "arm64": "ARM64"}


class TaskDefinition(Resource):
    """One family for each ModelService, with one container."""

    kind = "ecs/task-definition"
    superseded = "collect"
    serial = "revision"
    handles = frozenset({"arn"})
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
                # A command or a user that a revision made by hand has would be deployed with it.
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
        normalise={"cpu": as_text, "memory": as_text},
        sets=frozenset({"requiresCompatibilities"}),
    )
    permissions = {
        "ecs.describe_task_definition": frozenset({"ecs:DescribeTaskDefinition"}),
        "ecs.register_task_definition": frozenset({"ecs:RegisterTaskDefinition", "ecs:TagResource", "iam:PassRole"}),
        "ecs.list_task_definitions": frozenset({"ecs:ListTaskDefinitions"}),
        "ecs.deregister_task_definition": frozenset({"ecs:DeregisterTaskDefinition"}),
        "ecs.delete_task_definitions": frozenset({"ecs:DeleteTaskDefinitions"}),
    }
    scopes = {"ecs:": (Scope("ecs:{region}:{account}:task-definition/{family}:*"),)}
    retain = "service"

    def expand(self, want: Wanted) -> Iterable[Node]:
        """One family, for Fargate; or the revision that the spec names."""
        if want.service is None:
            return
        service, image = want.service.spec.service, want.service.spec.image
        if service.task_definition is not None:
            family, _, revision = service.task_definition.rpartition(":")
            named = {"family": family, "revision": int(revision)}
            yield Node(want.own(self.kind), named, named="spec.service.taskDefinition")
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
            "executionRoleArn": Ref(want.own("iam/role", "execution"), "arn"),
            "taskRoleArn": Ref(want.own("iam/role", "task"), "arn"),
            "containerDefinitions": [_container(want, service)],
            "tags": want.tags(),
        }
        yield Node(want.own(self.kind), {"family": want.physical_name(limit=255)}, desired)

    def observe(self, aws: Aws, targets: Sequence[Target]) -> dict[Key, Observed]:
        """The newest active revision of each family, or the one that is named; there is no call for several."""
        found = ((target.key, _found(aws, target.identity)) for target in targets)
        return {key: observed for key, observed in found if observed is not None}

    def apply(self, aws: Aws, step: Step, seen: Observed | None) -> Observed:
        """Register a revision. Whether one was registered before a crash shows when the family is looked at again."""
        del seen
        family, desired = step.node.identity["family"], dict(step.node.desired)
        tags = tag_list(desired.pop("tags"), "key", "value")
        return _observed(aws.write("ecs", "register_task_definition", family=family, tags=tags, **desired))

    def facts(self, seen: Observed) -> Mapping[str, Value]:
        """The revision that is wanted; and the image of one that is named, which nothing else tells."""
        told = {"taskDefinition": seen.outputs["arn"]}
        return {**told, "image": seen.outputs["image"]} if "image" in seen.outputs else told

    def delete(self, aws: Aws, target: Target) -> Waiting | None:
        """Deregister every revision, or the one that is named, and have AWS remove it; it does so once no task runs it."""
        family = target.identity["family"]
        if "revision" in target.identity:
            return _remove(aws, f"{family}:{target.identity['revision']}")
        # What was just deregistered may not be listed as such yet.
        inactive = dict.fromkeys(_revisions(aws, family, "INACTIVE"))
        for arn in _revisions(aws, family, "ACTIVE"):
            aws.write("ecs", "deregister_task_definition", taskDefinition=arn)
            inactive[arn] = None
        return _delete(aws, list(inactive))


def _remove(aws: Aws, revision: str) -> Waiting | None:
    """Remove one revision. What was deregistered, or is on its way, needs only what is left."""
    try:
        live = aws.read("ecs", "describe_task_definition", taskDefinition=revision)["taskDefinition"]
    except MissingError:
        return None
    if live["status"] == "ACTIVE":
        aws.write("ecs", "deregister_task_definition", taskDefinition=revision)
    return None if live["status"] == "DELETE_IN_PROGRESS" else _delete(aws, [revision])


def _delete(aws: Aws, revisions: Sequence[str]) -> Waiting | None:
    """Have AWS remove revisions, ten with each call. One that it takes for active still, it leaves, and says so."""
    answers = [
        aws.write("ecs", "delete_task_definitions", taskDefinitions=list(batch)) for batch in batches(revisions, 10)
    ]
    left = "; ".join(filter(None, map(left_undone, answers)))
    return Waiting("NotDeleted", left, failing=True) if left else None


def _container(want: Wanted, service: Service) -> dict[str, Value]:
    selection, health = want.own("model/selection"), service.health
    cleared = want.service is not None and want.service.spec.image.cleared
    return {
        "name": CONTAINER,
        "image": Ref(want.own("ecr/clearance" if cleared else "ecr/image"), "uri"),
        "essential": True,
        "readonlyRootFilesystem": True,
        "portMappings": [{"containerPort": PORT, "hostPort": PORT, "protocol": "tcp"}],
        "environment": [{"name": name, "value": value} for name, value in sorted(service.env.items())],
        "secrets": [{"name": secret.name, "valueFrom": secret.value_from} for secret in service.secrets],
        "dockerLabels": {
            "dev.moorage.model-version": Format("{}", (Ref(selection, "version"),)),
            "dev.moorage.fingerprint": Ref(selection, "fingerprint"),
        },
        "stopTimeout": service.stop_timeout,
        # Liveness: a task that is alive and busy must not be killed for being not ready.
        "healthCheck": {
            "command": ["CMD", "python", "-m", "inference_server.health", "--url", f"http://127.0.0.1:{PORT}/livez"],
            "interval": health.interval,
            "timeout": health.timeout,
            "retries": health.retries,
            "startPeriod": health.start_period,
        },
        "logConfiguration": {
            "logDriver": "awslogs",
            "options": {
                "awslogs-group": Ref(want.own("logs/log-group"), "name"),
                "awslogs-region": want.place.region,
                "awslogs-stream-prefix": CONTAINER,
            },
        },
    }


def _found(aws: Aws, identity: Mapping[str, Value]) -> Observed | None:
    family, revision = identity["family"], identity.get("revision")
    name = family if revision is None else f"{family}:{revision}"
    try:
        answer = aws.read("ecs", "describe_task_definition", taskDefinition=name, include=["TAGS"])
    except MissingError:
        return None
    newest = _observed(answer)
    if revision is None:
        return newest
    # One that was deregistered can't be deployed any more.
    if answer["taskDefinition"]["status"] != "ACTIVE":
        return None
    images = ", ".join(container["image"] for container in newest.fields["containerDefinitions"])
    return Observed(newest.fields, {**newest.outputs, "image": images})


def _observed(answer: Mapping[str, Any]) -> Observed:
    live = answer["taskDefinition"]
    tags = tags_of(answer.get("tags", ()), "key", "value")
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


def _revisions(aws: Aws, family: str, status: str) -> list[str]:
    arns = aws.pages("ecs", "list_task_definitions", "taskDefinitionArns", familyPrefix=family, status=status)
    return [arn for arn in arns if arn.rpartition("/")[2].rpartition(":")[0] == family]
