"""An ECS service on Fargate: a number of tasks of one task definition, rolled out under a circuit breaker."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from controller.aws import AwsClient
from controller.core.field_policy import FieldPolicy
from controller.core.graph import Node, Observed, Target
from controller.core.ownership import RETRY_TAG, find_dropped_tags, parse_tags, to_tag_list
from controller.core.plan import Step
from controller.core.spec_context import SpecContext
from controller.core.status import Failed, Ready, Verdict, Waiting
from controller.core.values import Key, Ref, Value, digest
from controller.errors import MissingError, RolledBackError
from controller.resources.base import PermissionScope, Resource, iter_batches

_NETWORK = "networkConfiguration.awsvpcConfiguration"
# ListServiceDeployments shows the last 90 days; an older failure is no reason to hold a deployment.
_ROLLED_BACK_STATES = ["ROLLBACK_REQUESTED", "ROLLBACK_IN_PROGRESS", "ROLLBACK_SUCCESSFUL", "ROLLBACK_FAILED"]
_POLL_SECONDS = 2.0  # seconds between two reads of a rollout


class EcsService(Resource):
    """One service for each ModelService."""

    kind = "ecs/service"
    condition_type = "Deployed"
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
        # The first service of an account also creates ECS's service-linked role.
        "ecs.create_service": frozenset({"ecs:CreateService", "ecs:TagResource", "iam:CreateServiceLinkedRole"}),
        "ecs.update_service": frozenset({"ecs:UpdateService"}),
        "ecs.tag_resource": frozenset({"ecs:TagResource"}),
        "ecs.untag_resource": frozenset({"ecs:UntagResource"}),
        "ecs.delete_service": frozenset({"ecs:DeleteService"}),
    }
    scopes = {
        "ecs:": (PermissionScope("ecs:{region}:{account}:service/{cluster}/{name}"),),
        "ecs:ListTasks": (
            PermissionScope("*", {"ecs:cluster": "arn:{partition}:ecs:{region}:{account}:cluster/{cluster}"}),
        ),
        "ecs:DescribeTasks": (PermissionScope("ecs:{region}:{account}:task/{cluster}/*"),),
        "ecs:DescribeServiceRevisions": (
            PermissionScope("ecs:{region}:{account}:service/{cluster}/{name}"),
            PermissionScope("ecs:{region}:{account}:service-revision/{cluster}/{name}/*"),
        ),
        "iam:CreateServiceLinkedRole": (
            PermissionScope(
                "iam::{account}:role/aws-service-role/ecs.amazonaws.com/AWSServiceRoleForECS",
                {"iam:AWSServiceName": "ecs.amazonaws.com"},
            ),
        ),
    }
    retention_category = "service"

    def expand(self, context: SpecContext) -> Iterable[Node]:
        """Return one service in the environment's cluster and subnets, registered in Cloud Map."""
        if context.service is None:
            return
        definition = Ref(context.own_key("ecs/task-definition"), "arn")
        desired: dict[str, Value] = {"taskDefinition": definition, "launchType": "FARGATE", "tags": context.tags()}
        if context.trainable_spec is not None:
            desired |= _service_settings(context)
        # A count that the spec leaves out belongs to the autoscaler.
        if "desired_count" in context.service.spec.service.model_fields_set:
            desired["desiredCount"] = context.service.spec.service.desired_count
        identity = {"cluster": Ref(context.shared_key("ecs/cluster"), "name"), "name": context.service_name}
        # An imported service can't be created again: the spec doesn't contain the rest of it.
        yield Node(
            context.own_key(self.kind),
            identity,
            desired,
            reference_field="" if context.trainable_spec else "spec.service.name",
        )

    def observe(self, aws: AwsClient, targets: Sequence[Target]) -> dict[Key, Observed]:
        """Read services ten at a time; the tasks only of those that report a finished rollout, a hundred at a time."""
        seen: dict[Key, Observed] = {}
        for cluster in sorted({target.identity["cluster"] for target in targets}):
            keys = {target.identity["name"]: target.key for target in targets if target.identity["cluster"] == cluster}
            live = [
                service for service in _describe_services(aws, cluster, list(keys)) if service["status"] == "ACTIVE"
            ]
            # With a single service, list that service's tasks only.
            which = {"serviceName": live[0]["serviceName"]} if len(live) == 1 else {}
            tasks = _tasks_by_group(aws, cluster, **which) if any(map(_needs_task_check, live)) else {}
            for service in live:
                own = tasks.get(f"service:{service['serviceName']}", []) if _needs_task_check(service) else []
                seen[keys[service["serviceName"]]] = _observed(service, own)
        return seen

    def ready(self, node: Node, seen: Observed) -> Verdict:
        """Judge whether the intended task definition runs. A stable service that runs another one isn't ready."""
        intended = node.desired["taskDefinition"]
        wanted = (node.desired if "desiredCount" in node.desired else seen.fields)["desiredCount"]
        primary = seen.outputs["deployment"]
        if primary["taskDefinition"] != intended:
            return _other_deployment_verdict(intended, seen)
        if primary["state"] == "FAILED":
            return Failed("RolloutFailed", f"{primary['reason']} {seen.outputs['event']}".strip())
        if primary["state"] != "COMPLETED" or primary["running"] != wanted or primary["pending"]:
            return Waiting("RollingOut", _format_progress(primary, wanted, seen.outputs["event"]), _POLL_SECONDS)
        if wanted == 0:
            return Ready("ScaledToZero", "no task runs, as declared")
        found = bool(node.reference_field)
        good = [task for task in seen.outputs["tasks"] if _is_as_intended(task, intended, is_external=found)]
        if len(good) != wanted:
            pinned = "" if found else " and run the pinned image"
            message = f"{len(good)} of {wanted} tasks of {_resource_name(intended)} are healthy{pinned}"
            return Waiting("Unhealthy", message, _POLL_SECONDS)
        return Ready()

    def apply(self, aws: AwsClient, step: Step, seen: Observed | None) -> Observed:
        """Create the service, or update it in one call.

        Raises RolledBackError for a deployment that AWS has already rolled back.

        An update names only what differs: some fields start a deployment, which must not happen needlessly.
        """
        if seen is None:
            return _observed(_create_service(aws, step.node), [])
        desired = step.node.desired
        differing = {change.path.partition(".")[0] for change in step.changes} & desired.keys() - {"tags"}
        _update_tags(aws, step, seen)
        if not differing:
            return Observed({**seen.fields, "tags": desired["tags"]}, seen.outputs)
        cluster, name = step.node.identity["cluster"], step.node.identity["name"]
        if "taskDefinition" in differing:
            _refuse_rolled_back(
                aws, cluster, name, desired["taskDefinition"], _retry_allowed_until(seen.fields["tags"])
            )
        fields = {field: desired[field] for field in differing}
        live = aws.write("ecs", "update_service", cluster=cluster, service=name, **fields)["service"]
        return _observed({**live, "tags": to_tag_list(desired["tags"], "key", "value")}, [])

    def retry(self, aws: AwsClient, node: Node, seen: Observed) -> str:
        """Allow every deployment that AWS has rolled back so far; start a failed first one once more."""
        cluster, name = node.identity["cluster"], node.identity["name"]
        undone = max((began for began, _, _ in _list_rollbacks(aws, cluster, name)), default=0)
        forgives = undone > _retry_allowed_until(seen.fields["tags"])
        if forgives:
            mark = to_tag_list({RETRY_TAG: str(undone)}, "key", "value")
            aws.write("ecs", "tag_resource", resourceArn=seen.outputs["arn"], tags=mark)
        if seen.outputs["deployment"]["state"] == "FAILED":
            aws.write("ecs", "update_service", cluster=cluster, service=name, forceNewDeployment=True)
            return f"service {name}, whose deployment failed"
        return f"service {name}, whose deployment was rolled back" if forgives else ""

    def delete(self, aws: AwsClient, target: Target) -> Waiting | None:
        """Stop the tasks and delete the service. It drains for as long as its tasks take to stop."""
        cluster, name = target.identity["cluster"], target.identity["name"]
        live = next(_describe_services(aws, cluster, [name]), None)
        # A recorded service that isn't shown: AWS may not show it yet, and knows whether it exists.
        if live is None or live["status"] == "ACTIVE":
            try:
                live = aws.write("ecs", "delete_service", cluster=cluster, service=name, force=True)["service"]
            except MissingError:
                return None
        if live["status"] == "INACTIVE":
            return None
        return Waiting("Draining", f"{name}: {live['runningCount']} tasks are still stopping", _POLL_SECONDS)


def _service_settings(context: SpecContext) -> dict[str, Value]:
    """Return the network, rollout and registration of a trained model's tasks. An imported service keeps its own."""
    return {
        "platformVersion": "1.4.0",
        "deploymentConfiguration": {
            "minimumHealthyPercent": 100,
            "maximumPercent": 200,
            # By default one healthy moment resets the count of failures, so flapping tasks would never trip the circuit
            # breaker.
            "deploymentCircuitBreaker": {"enable": True, "rollback": True, "resetOnHealthyTask": False},
        },
        "networkConfiguration": {"awsvpcConfiguration": _network_configuration(context)},
        # SRV records: an HTTP API needs the port, which comes from the container.
        "serviceRegistries": [
            {
                "registryArn": Ref(context.own_key("servicediscovery/service"), "arn"),
                "containerName": "server",
                "containerPort": 8080,
            }
        ],
        "enableECSManagedTags": True,
        "enableExecuteCommand": False,
        "propagateTags": "SERVICE",
    }


def _network_configuration(context: SpecContext) -> dict[str, Value]:
    network = context.environment.spec.network
    return {
        "subnets": Ref(context.shared_key("ec2/network"), "subnet_ids"),
        "securityGroups": list(network.security_groups) or [Ref(context.own_key("ec2/security-group"), "id")],
        "assignPublicIp": "ENABLED" if context.assigns_public_ip else "DISABLED",
    }


def _describe_services(aws: AwsClient, cluster: str, names: Sequence[str]) -> Iterator[Mapping[str, Any]]:
    for batch in iter_batches(names, 10):
        try:
            answer = aws.read("ecs", "describe_services", cluster=cluster, services=list(batch), include=["TAGS"])
        except MissingError:  # no such cluster
            return
        yield from answer["services"]


def _primary_deployment(service: Mapping[str, Any]) -> Mapping[str, Any]:
    found: Mapping[str, Any] = next(d for d in service["deployments"] if d["status"] == "PRIMARY")
    return found


def _needs_task_check(service: Mapping[str, Any]) -> bool:
    """Return whether the rollout is finished: only then the tasks are worth checking."""
    return _primary_deployment(service).get("rolloutState") == "COMPLETED" and service["desiredCount"] > 0


def _tasks_by_group(aws: AwsClient, cluster: str, **which: str) -> dict[str, list[Mapping[str, Any]]]:
    """Return the running tasks of a cluster, or of one service, by group (`service:NAME`).

    It takes two calls for up to a hundred tasks.
    """
    groups: dict[str, list[Mapping[str, Any]]] = {}
    arns = aws.list_items("ecs", "list_tasks", "taskArns", cluster=cluster, desiredStatus="RUNNING", **which)
    for batch in iter_batches(arns, 100):
        for task in aws.list_items("ecs", "describe_tasks", "tasks", cluster=cluster, tasks=list(batch)):
            groups.setdefault(task.get("group", ""), []).append(task)
    return groups


def _observed(service: Mapping[str, Any], tasks: Sequence[Mapping[str, Any]]) -> Observed:
    primary = _primary_deployment(service)
    fields = {name: service.get(name) for name in _FIELDS}
    # The deployed task definition, whatever the service's own field says: a rollback changes one before the other.
    fields |= {"taskDefinition": primary["taskDefinition"], "tags": parse_tags(service.get("tags", ()), "key", "value")}
    outputs = {
        "arn": service["serviceArn"],
        "name": service["serviceName"],
        "deployment": _deployment_output(primary),
        "definitions": sorted({d["taskDefinition"] for d in service["deployments"]}),
        "failed": [_deployment_output(d) for d in service["deployments"] if d.get("rolloutState") == "FAILED"],
        "tasks": sorted(map(_task_output, tasks), key=lambda task: str(task["id"])),
        "event": "" if primary.get("rolloutState") == "COMPLETED" else _latest_event(service, primary),
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


def _latest_event(service: Mapping[str, Any], primary: Mapping[str, Any]) -> str:
    """Return ECS's last event since the deployment began; earlier ones concern another deployment."""
    since = (event["message"] for event in service.get("events", ()) if event["createdAt"] >= primary["createdAt"])
    return str(next(since, ""))


def _deployment_output(live: Mapping[str, Any]) -> dict[str, Value]:
    return {
        "id": live["id"],
        "taskDefinition": live["taskDefinition"],
        "state": live.get("rolloutState", "IN_PROGRESS"),
        "reason": live.get("rolloutStateReason", ""),
        "running": live["runningCount"],
        "pending": live["pendingCount"],
        "failed": live.get("failedTasks", 0),
    }


def _task_output(live: Mapping[str, Any]) -> dict[str, Value]:
    containers = live.get("containers", [])
    return {
        "id": live["taskArn"].rpartition("/")[2],
        "taskDefinition": live["taskDefinitionArn"],
        "health": live.get("healthStatus", "UNKNOWN"),
        "images": {c["name"]: [c.get("image", ""), c.get("imageDigest", "")] for c in containers},
    }


def _is_as_intended(task: Mapping[str, Any], definition: str, *, is_external: bool) -> bool:
    """Return whether a task pulled the pinned digest of the definition and is healthy.

    An imported definition (`is_external`) may name its image by a tag and have no health check: ECS then reports
    UNKNOWN.
    """
    pinned = is_external or all(pulled and image.endswith(f"@{pulled}") for image, pulled in task["images"].values())
    healthy = ("HEALTHY", "UNKNOWN") if is_external else ("HEALTHY",)
    return bool(task["taskDefinition"] == definition and task["health"] in healthy and pinned)


def _create_service(aws: AwsClient, node: Node) -> Mapping[str, Any]:
    cluster, name = node.identity["cluster"], node.identity["name"]
    settings = {"desiredCount": 1} | {field: value for field, value in node.desired.items() if field != "tags"}
    tags = to_tag_list(node.desired["tags"], "key", "value")
    # A deleted service is shown for a while. Its creation time changes the token of its successor; otherwise AWS would
    # take the new request for a repetition of the old one.
    before = [str(live["createdAt"]) for live in _describe_services(aws, cluster, [name])]
    token = digest(cluster, name, node.desired, before)[:36]
    answer = aws.write(
        "ecs", "create_service", cluster=cluster, serviceName=name, clientToken=token, tags=tags, **settings
    )
    return {**answer["service"], "tags": tags}


def _update_tags(aws: AwsClient, step: Step, seen: Observed) -> None:
    wanted, arn, dropped = step.node.desired["tags"], seen.outputs["arn"], find_dropped_tags(step.changes)
    if not wanted.items() <= seen.fields["tags"].items():
        aws.write("ecs", "tag_resource", resourceArn=arn, tags=to_tag_list(wanted, "key", "value"))
    if dropped:
        aws.write("ecs", "untag_resource", resourceArn=arn, tagKeys=dropped)


def _list_rollbacks(aws: AwsClient, cluster: str, name: str) -> Iterator[tuple[int, str, str]]:
    """Yield the deployments that AWS rolled back: when each began (ms), its service revision, and why."""
    listed = aws.iter_items(
        "ecs",
        "list_service_deployments",
        "serviceDeployments",
        cluster=cluster,
        service=name,
        status=_ROLLED_BACK_STATES,
    )
    for brief in listed:
        began = round(brief["createdAt"].timestamp() * 1000)
        yield began, brief["targetServiceRevisionArn"], brief.get("statusReason", "")


def _retry_allowed_until(tags: Mapping[str, str]) -> int:
    """Return until when (AWS's time of a deployment, in ms) rolled-back deployments may be tried again.

    0 without a mark.
    """
    mark = tags.get(RETRY_TAG, "")
    return int(mark) if mark.isdecimal() else 0


def _refuse_rolled_back(aws: AwsClient, cluster: str, name: str, intended: str, retry_allowed_until: int) -> None:
    """Raise RolledBackError if AWS rolled back a deployment of this task definition and no retry was allowed since."""
    reasons = {
        revision: why for began, revision, why in _list_rollbacks(aws, cluster, name) if began > retry_allowed_until
    }
    for batch in iter_batches(sorted(reasons), 20):
        answer = aws.read("ecs", "describe_service_revisions", serviceRevisionArns=list(batch))
        for revision in answer["serviceRevisions"]:
            if revision["taskDefinition"] == intended:
                raise RolledBackError(
                    f"AWS rolled {_resource_name(intended)} back",
                    where=f"ecs/service {name}",
                    why=reasons[revision["serviceRevisionArn"]],
                    hint="the version before serves on; change the spec, or let it be tried again: moorage retry",
                )


def _other_deployment_verdict(intended: str, seen: Observed) -> Verdict:
    """Return the verdict if another task definition is deployed: the intended one isn't yet, or was rolled back."""
    undone = [failed for failed in seen.outputs["failed"] if failed["taskDefinition"] == intended]
    if undone:
        return Failed("RolledBack", undone[0]["reason"])
    return Waiting(
        "Deploying",
        f"{_deployed_revision(seen.outputs['deployment'])} still serves, not {_resource_name(intended)}",
        _POLL_SECONDS,
    )


def _resource_name(arn: str) -> str:
    return arn.rpartition("/")[2]


def _deployed_revision(deployment: Mapping[str, Any]) -> str:
    return _resource_name(deployment["taskDefinition"])


def _format_progress(primary: Mapping[str, Any], wanted: int, event: str) -> str:
    failed = f", {primary['failed']} failed" if primary["failed"] else ""
    running = f"{primary['running']} of {wanted} tasks run {_deployed_revision(primary)}"
    counts = f"{running}, {primary['pending']} pending{failed}"
    return f"{counts}; {event}" if event else counts
