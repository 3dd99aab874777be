"""An ECS service on Fargate: so many tasks of one task definition, rolled out under a circuit breaker."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from controller.aws import Aws
from controller.core.graph import Node, Observed, Target
from controller.core.ownership import RETRY, dropped_tags, tag_list, tags_of
from controller.core.plan import Step
from controller.core.policy import FieldPolicy
from controller.core.status import Failed, Ready, Verdict, Waiting
from controller.core.values import Key, Ref, Value, digest
from controller.core.wanted import Wanted
from controller.errors import MissingError, RolledBackError
from controller.resources.base import Resource, Scope, batches

_NETWORK = "networkConfiguration.awsvpcConfiguration"
# ListServiceDeployments shows the last 90 days; an older failure is no reason to hold a deployment back.
_UNDONE = ["ROLLBACK_REQUESTED", "ROLLBACK_IN_PROGRESS", "ROLLBACK_SUCCESSFUL", "ROLLBACK_FAILED"]
_POLL = 2.0  # seconds between looks at a rollout


class EcsService(Resource):
    """One service for each ModelService."""

    kind = "ecs/service"
    condition = "Deployed"
    policy = FieldPolicy(
        immutable=frozenset({"launchType"}),
        sets=frozenset({f"{_NETWORK}.subnets", f"{_NETWORK}.securityGroups"}),
        owned=frozenset({f"{_NETWORK}.subnets", f"{_NETWORK}.securityGroups"}),
        defaults={f"{_NETWORK}.assignPublicIp": "DISABLED", "propagateTags": "NONE", "enableExecuteCommand": False},
    )
    permissions = {
        "ecs.describe_services": frozenset({"ecs:DescribeServices"}),
        "ecs.list_tasks": frozenset({"ecs:ListTasks"}),
        "ecs.describe_tasks": frozenset({"ecs:DescribeTasks"}),
        "ecs.list_service_deployments": frozenset({"ecs:ListServiceDeployments"}),
        "ecs.describe_service_revisions": frozenset({"ecs:DescribeServiceRevisions"}),
        # The first service of an account also makes ECS's own role.
        "ecs.create_service": frozenset({"ecs:CreateService", "ecs:TagResource", "iam:CreateServiceLinkedRole"}),
        "ecs.update_service": frozenset({"ecs:UpdateService"}),
        "ecs.tag_resource": frozenset({"ecs:TagResource"}),
        "ecs.untag_resource": frozenset({"ecs:UntagResource"}),
        "ecs.delete_service": frozenset({"ecs:DeleteService"}),
    }
    scopes = {
        "ecs:": (Scope("ecs:{region}:{account}:service/{cluster}/{name}"),),
        "ecs:ListTasks": (Scope("*", {"ecs:cluster": "arn:{partition}:ecs:{region}:{account}:cluster/{cluster}"}),),
        "ecs:DescribeTasks": (Scope("ecs:{region}:{account}:task/{cluster}/*"),),
        "ecs:DescribeServiceRevisions": (
            Scope("ecs:{region}:{account}:service/{cluster}/{name}"),
            Scope("ecs:{region}:{account}:service-revision/{cluster}/{name}/*"),
        ),
        "iam:CreateServiceLinkedRole": (
            Scope(
                "iam::{account}:role/aws-service-role/ecs.amazonaws.com/AWSServiceRoleForECS",
                {"iam:AWSServiceName": "ecs.amazonaws.com"},
            ),
        ),
    }
    retain = "service"

    def expand(self, want: Wanted) -> Iterable[Node]:
        """One, in the environment's cluster and subnets, registered in Cloud Map."""
        if want.service is None:
            return
        definition = Ref(want.own("ecs/task-definition"), "arn")
        desired: dict[str, Value] = {"taskDefinition": definition, "launchType": "FARGATE", "tags": want.tags()}
        if want.trained is not None:
            desired |= _settings(want)
        # A count that the spec leaves out belongs to whoever scales.
        if "desired_count" in want.service.spec.service.model_fields_set:
            desired["desiredCount"] = want.service.spec.service.desired_count
        identity = {"cluster": Ref(want.shared("ecs/cluster"), "name"), "name": want.service_name}
        # What is taken as it was found can't be made again: the spec doesn't say the rest of it.
        yield Node(want.own(self.kind), identity, desired, named="" if want.trained else "spec.service.name")

    def observe(self, aws: Aws, targets: Sequence[Target]) -> dict[Key, Observed]:
        """Services ten at a time; the tasks only of those that say they are done, a hundred at a time."""
        seen: dict[Key, Observed] = {}
        for cluster in sorted({target.identity["cluster"] for target in targets}):
            keys = {target.identity["name"]: target.key for target in targets if target.identity["cluster"] == cluster}
            live = [service for service in _services(aws, cluster, list(keys)) if service["status"] == "ACTIVE"]
            # Whose tasks are asked for is told by the service, where there is but one.
            which = {"serviceName": live[0]["serviceName"]} if len(live) == 1 else {}
            tasks = _tasks(aws, cluster, **which) if any(map(_to_be_checked, live)) else {}
            for service in live:
                own = tasks.get(f"service:{service['serviceName']}", []) if _to_be_checked(service) else []
                seen[keys[service["serviceName"]]] = _observed(service, own)
        return seen

    def ready(self, node: Node, seen: Observed) -> Verdict:
        """Whether what was intended runs. A stable service that runs something else is not ready."""
        intended = node.desired["taskDefinition"]
        wanted = (node.desired if "desiredCount" in node.desired else seen.fields)["desiredCount"]
        primary = seen.outputs["deployment"]
        if primary["taskDefinition"] != intended:
            return _other_than(intended, seen)
        if primary["state"] == "FAILED":
            return Failed("RolloutFailed", f"{primary['reason']} {seen.outputs['event']}".strip())
        if primary["state"] != "COMPLETED" or primary["running"] != wanted or primary["pending"]:
            return Waiting("RollingOut", _progress(primary, wanted, seen.outputs["event"]), _POLL)
        if wanted == 0:
            return Ready("ScaledToZero", "no task runs, as declared")
        found = bool(node.named)
        good = [task for task in seen.outputs["tasks"] if _as_intended(task, intended, found=found)]
        if len(good) != wanted:
            message = f"{len(good)} of {wanted} tasks of {_short(intended)} are healthy{'' if found else ' and run the pinned image'}"
            return Waiting("Unhealthy", message, _POLL)
        return Ready()

    def apply(self, aws: Aws, step: Step, seen: Observed | None) -> Observed:
        """Create it, or update it in one call. Raises RolledBackError for what AWS has already undone.

        An update names only what differs: some fields start a deployment, and none of them may for nothing.
        """
        if seen is None:
            return _observed(_create(aws, step.node), [])
        desired = step.node.desired
        differing = {change.path.partition(".")[0] for change in step.changes} & desired.keys() - {"tags"}
        _retag(aws, step, seen)
        if not differing:
            return Observed({**seen.fields, "tags": desired["tags"]}, seen.outputs)
        cluster, name = step.node.identity["cluster"], step.node.identity["name"]
        if "taskDefinition" in differing:
            _refuse_undone(aws, cluster, name, desired["taskDefinition"], _forgiven(seen.fields["tags"]))
        fields = {field: desired[field] for field in differing}
        live = aws.write("ecs", "update_service", cluster=cluster, service=name, **fields)["service"]
        return _observed({**live, "tags": tag_list(desired["tags"], "key", "value")}, [])

    def retry(self, aws: Aws, node: Node, seen: Observed) -> str:
        """Forgive every deployment that AWS has rolled back so far; start a first one that failed once more."""
        cluster, name = node.identity["cluster"], node.identity["name"]
        undone = max((began for began, _, _ in _undone(aws, cluster, name)), default=0)
        forgives = undone > _forgiven(seen.fields["tags"])
        if forgives:
            mark = tag_list({RETRY: str(undone)}, "key", "value")
            aws.write("ecs", "tag_resource", resourceArn=seen.outputs["arn"], tags=mark)
        if seen.outputs["deployment"]["state"] == "FAILED":
            aws.write("ecs", "update_service", cluster=cluster, service=name, forceNewDeployment=True)
            return f"service {name}, whose deployment failed"
        return f"service {name}, whose deployment was rolled back" if forgives else ""

    def delete(self, aws: Aws, target: Target) -> Waiting | None:
        """Stop its tasks and remove it. It drains for as long as its tasks take to stop."""
        cluster, name = target.identity["cluster"], target.identity["name"]
        live = next(_services(aws, cluster, [name]), None)
        # One that isn't shown was recorded: AWS may not show it yet, and knows whether it is there.
        if live is None or live["status"] == "ACTIVE":
            try:
                live = aws.write("ecs", "delete_service", cluster=cluster, service=name, force=True)["service"]
            except MissingError:
                return None
        if live["status"] == "INACTIVE":
            return None
        return Waiting("Draining", f"{name}: {live['runningCount']} tasks are still stopping", _POLL)


def _settings(want: Wanted) -> dict[str, Value]:
    """Where tasks of a model of its own run, how they are rolled out and registered. What is taken as it was found keeps its own."""
    return {
        "platformVersion": "1.4.0",
        "deploymentConfiguration": {
            "minimumHealthyPercent": 100,
            "maximumPercent": 200,
            # By default one healthy moment forgives all failures, so tasks that flap would never trip it.
            "deploymentCircuitBreaker": {"enable": True, "rollback": True, "resetOnHealthyTask": False},
        },
        "networkConfiguration": {"awsvpcConfiguration": _network(want)},
        # SRV records: an HTTP API needs the port, which the container gives.
        "serviceRegistries": [
            {
                "registryArn": Ref(want.own("servicediscovery/service"), "arn"),
                "containerName": "server",
                "containerPort": 8080,
            }
        ],
        "enableECSManagedTags": True,
        "enableExecuteCommand": False,
        "propagateTags": "SERVICE",
    }


def _network(want: Wanted) -> dict[str, Value]:
    network = want.environment.spec.network
    return {
        "subnets": Ref(want.shared("ec2/network"), "subnet_ids"),
        "securityGroups": list(network.security_groups) or [Ref(want.own("ec2/security-group"), "id")],
        "assignPublicIp": "ENABLED" if want.public_addresses else "DISABLED",
    }


def _services(aws: Aws, cluster: str, names: Sequence[str]) -> Iterator[Mapping[str, Any]]:
    for batch in batches(names, 10):
        try:
            answer = aws.read("ecs", "describe_services", cluster=cluster, services=list(batch), include=["TAGS"])
        except MissingError:  # no such cluster
            return
        yield from answer["services"]


def _primary(service: Mapping[str, Any]) -> Mapping[str, Any]:
    found: Mapping[str, Any] = next(d for d in service["deployments"] if d["status"] == "PRIMARY")
    return found


def _to_be_checked(service: Mapping[str, Any]) -> bool:
    """Only a finished rollout is worth looking at task by task."""
    return _primary(service).get("rolloutState") == "COMPLETED" and service["desiredCount"] > 0


def _tasks(aws: Aws, cluster: str, **which: str) -> dict[str, list[Mapping[str, Any]]]:
    """The running tasks of a cluster, or of one service, by group (`service:NAME`): two calls for up to a hundred tasks."""
    groups: dict[str, list[Mapping[str, Any]]] = {}
    arns = aws.listed("ecs", "list_tasks", "taskArns", cluster=cluster, desiredStatus="RUNNING", **which)
    for batch in batches(arns, 100):
        for task in aws.listed("ecs", "describe_tasks", "tasks", cluster=cluster, tasks=list(batch)):
            groups.setdefault(task.get("group", ""), []).append(task)
    return groups


def _observed(service: Mapping[str, Any], tasks: Sequence[Mapping[str, Any]]) -> Observed:
    primary = _primary(service)
    fields = {name: service.get(name) for name in _FIELDS}
    # What is deployed, whatever the service says it should be: a rollback changes the one before the other.
    fields |= {"taskDefinition": primary["taskDefinition"], "tags": tags_of(service.get("tags", ()), "key", "value")}
    outputs = {
        "arn": service["serviceArn"],
        "name": service["serviceName"],
        "deployment": _deployment(primary),
        "definitions": sorted({d["taskDefinition"] for d in service["deployments"]}),
        "failed": [_deployment(d) for d in service["deployments"] if d.get("rolloutState") == "FAILED"],
        "tasks": sorted(map(_task, tasks), key=lambda task: str(task["id"])),
        "event": "" if primary.get("rolloutState") == "COMPLETED" else _latest(service, primary),
    }
    return Observed(fields, outputs)


_FIELDS = (
    "desiredCount",
    "launchType",
    "platformVersion",
    "deploymentConfiguration",
    "networkConfiguration",
    "serviceRegistries",
    "enableECSManagedTags",
    "enableExecuteCommand",
    "propagateTags",
)


def _latest(service: Mapping[str, Any], primary: Mapping[str, Any]) -> str:
    """What ECS said last since the deployment began; what it said before is about another one."""
    since = (event["message"] for event in service.get("events", ()) if event["createdAt"] >= primary["createdAt"])
    return str(next(since, ""))


def _deployment(live: Mapping[str, Any]) -> dict[str, Value]:
    return {
        "id": live["id"],
        "taskDefinition": live["taskDefinition"],
        "state": live.get("rolloutState", "IN_PROGRESS"),
        "reason": live.get("rolloutStateReason", ""),
        "running": live["runningCount"],
        "pending": live["pendingCount"],
        "failed": live.get("failedTasks", 0),
    }


def _task(live: Mapping[str, Any]) -> dict[str, Value]:
    containers = live.get("containers", [])
    return {
        "id": live["taskArn"].rpartition("/")[2],
        "taskDefinition": live["taskDefinitionArn"],
        "health": live.get("healthStatus", "UNKNOWN"),
        "images": {c["name"]: [c.get("image", ""), c.get("imageDigest", "")] for c in containers},
    }


def _as_intended(task: Mapping[str, Any], definition: str, *, found: bool) -> bool:
    """The definition pins the image by digest, so what was pulled must have that digest.

    One that was `found` may name its image by a tag and ask nobody for health: UNKNOWN is what ECS says of it then.
    """
    pinned = found or all(pulled and image.endswith(f"@{pulled}") for image, pulled in task["images"].values())
    healthy = ("HEALTHY", "UNKNOWN") if found else ("HEALTHY",)
    return bool(task["taskDefinition"] == definition and task["health"] in healthy and pinned)


def _create(aws: Aws, node: Node) -> Mapping[str, Any]:
    cluster, name = node.identity["cluster"], node.identity["name"]
    settings = {"desiredCount": 1} | {field: value for field, value in node.desired.items() if field != "tags"}
    tags = tag_list(node.desired["tags"], "key", "value")
    # A deleted service is shown for a while. Its creation time makes the token of its successor another one, or AWS
    # would take the new request for the old one's repetition.
    before = [str(live["createdAt"]) for live in _services(aws, cluster, [name])]
    token = digest(cluster, name, node.desired, before)[:36]
    answer = aws.write(
        "ecs", "create_service", cluster=cluster, serviceName=name, clientToken=token, tags=tags, **settings
    )
    return {**answer["service"], "tags": tags}


def _retag(aws: Aws, step: Step, seen: Observed) -> None:
    wanted, arn, dropped = step.node.desired["tags"], seen.outputs["arn"], dropped_tags(step.changes)
    if not wanted.items() <= seen.fields["tags"].items():
        aws.write("ecs", "tag_resource", resourceArn=arn, tags=tag_list(wanted, "key", "value"))
    if dropped:
        aws.write("ecs", "untag_resource", resourceArn=arn, tagKeys=dropped)


def _undone(aws: Aws, cluster: str, name: str) -> Iterator[tuple[int, str, str]]:
    """The deployments of a service that AWS rolled back: when each began (ms), its service revision, and why."""
    listed = aws.pages(
        "ecs", "list_service_deployments", "serviceDeployments", cluster=cluster, service=name, status=_UNDONE
    )
    for brief in listed:
        began = round(brief["createdAt"].timestamp() * 1000)
        yield began, brief["targetServiceRevisionArn"], brief.get("statusReason", "")


def _forgiven(tags: Mapping[str, str]) -> int:
    """Until when (AWS's own time of a deployment, in ms) what was rolled back may be tried again; 0 without a mark."""
    mark = tags.get(RETRY, "")
    return int(mark) if mark.isdecimal() else 0


def _refuse_undone(aws: Aws, cluster: str, name: str, intended: str, forgiven: int) -> None:
    """Raise RolledBackError when AWS has rolled a deployment of this very task definition back, and nobody forgave it."""
    reasons = {revision: why for began, revision, why in _undone(aws, cluster, name) if began > forgiven}
    for batch in batches(sorted(reasons), 20):
        answer = aws.read("ecs", "describe_service_revisions", serviceRevisionArns=list(batch))
        for revision in answer["serviceRevisions"]:
            if revision["taskDefinition"] == intended:
                raise RolledBackError(
                    f"AWS rolled {_short(intended)} back",
                    where=f"ecs/service {name}",
                    why=reasons[revision["serviceRevisionArn"]],
                    hint="the version before serves on; change the spec, or let it be tried again: moorage retry",
                )


def _other_than(intended: str, seen: Observed) -> Verdict:
    """Something else is deployed: not yet what was intended, or no longer."""
    undone = [failed for failed in seen.outputs["failed"] if failed["taskDefinition"] == intended]
    if undone:
        return Failed("RolledBack", undone[0]["reason"])
    return Waiting("Deploying", f"{_revision(seen.outputs['deployment'])} still serves, not {_short(intended)}", _POLL)


def _short(arn: str) -> str:
    return arn.rpartition("/")[2]


def _revision(deployment: Mapping[str, Any]) -> str:
    return _short(deployment["taskDefinition"])


def _progress(primary: Mapping[str, Any], wanted: int, event: str) -> str:
    failed = f", {primary['failed']} failed" if primary["failed"] else ""
    counts = f"{primary['running']} of {wanted} tasks run {_revision(primary)}, {primary['pending']} pending{failed}"
    return f"{counts}; {event}" if event else counts
