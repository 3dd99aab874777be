"""Describe an ECS service on Fargate as the `service` section of a spec and as its Environment."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from controller.aws import AwsClient
from controller.aws.log import redact
from controller.core.ownership import ENVIRONMENT_TAG, OWNER_TAG, parse_tags
from controller.core.values import Value
from controller.errors import FailedError, MissingError, NotFoundError
from controller.imports.autoscaling import describe_autoscaling
from controller.imports.draft import Draft, spec_name
from controller.resources.base import iter_batches
from controller.resources.ecs_task_definition import CONTAINER_NAME, CONTAINER_PORT
from controller.spec.units import format_cpu, format_memory

_HINT = (
    "Moorage manages ECS services on Fargate whose tasks have one container; take this away, or leave the service out"
)
# The storage that every Fargate task has for free.
# https://docs.aws.amazon.com/AmazonECS/latest/developerguide/fargate-task-storage.html
_INCLUDED_STORAGE_GIB = 20
_ARCHITECTURES = {"X86_64": "amd64", "ARM64": "arm64"}
_SECRET = re.compile(r"arn:aws[a-z-]*:(ssm|secretsmanager):")


def find_service(aws: AwsClient, cloud_map_arn: str) -> tuple[str, str] | None:
    """Return the cluster and name of the ECS service whose tasks are registered in a Cloud Map service."""
    for cluster in aws.iter_items("ecs", "list_clusters", "clusterArns"):
        arns = list(aws.iter_items("ecs", "list_services", "serviceArns", cluster=cluster))
        for batch in iter_batches(arns, 10):
            for live in aws.read("ecs", "describe_services", cluster=cluster, services=list(batch))["services"]:
                if any(entry.get("registryArn") == cloud_map_arn for entry in live.get("serviceRegistries", ())):
                    return cluster.rpartition("/")[2], live["serviceName"]
    return None


def draft_service(aws: AwsClient, cluster: str, name: str) -> tuple[Draft, str]:
    """Return a draft of the service, and the ARN of the Cloud Map service that its tasks are registered in, if any.

    Raises NotFoundError, and FailedError with everything that no spec can express.
    """
    live = _describe_service(aws, cluster, name)
    found = aws.read("ecs", "describe_task_definition", taskDefinition=live["taskDefinition"])["taskDefinition"]
    problems = [*_unsupported_service_features(live), *_unsupported_task_features(live, found)]
    if problems:
        what = f"the ECS service {cluster}/{name} can't be said in a spec"
        raise FailedError(what, where=live["serviceArn"], why="; ".join(problems), hint=_HINT)
    draft = Draft(f"the ECS service {cluster}/{name} in {aws.region}", spec_name(name))
    draft.environment = _environment(aws, live, cluster, draft)
    registry = next((entry["registryArn"] for entry in live.get("serviceRegistries", ())), "")
    draft.adopted.append(f"the ECS service {name}")
    if registry:
        draft.adopted.append(f"the Cloud Map service {registry.rpartition('/')[2]}, in which its tasks are registered")
    service: dict[str, Value] = {"name": name}
    if registry:
        service["discovery"] = registry.rpartition("/")[2]
    if scaling := describe_autoscaling(aws, cluster, name):
        draft.unmanaged.append(f"how many tasks run, which is set by {scaling}; so desiredCount is left out")
    else:
        service["desiredCount"] = live["desiredCount"]
    definition = f"{found['family']}:{found['revision']}"
    draft.spec = {"service": {**service, "taskDefinition": definition}, "policy": {"adopt": True}}
    draft.model_sections = _model_sections(found, service, draft)
    _add_notes(live, found, draft)
    _check_ports(aws, live, found, draft)
    return draft, registry


def _describe_service(aws: AwsClient, cluster: str, name: str) -> Mapping[str, Any]:
    try:
        answer = aws.read("ecs", "describe_services", cluster=cluster, services=[name], include=["TAGS"])
    except MissingError as error:
        raise NotFoundError(f"there is no ECS cluster {cluster} in {aws.region}", hint="CLUSTER/NAME") from error
    live = next((one for one in answer["services"] if one["status"] == "ACTIVE"), None)
    if live is None:
        raise NotFoundError(f"there is no ECS service {name} in the cluster {cluster} in {aws.region}")
    found: Mapping[str, Any] = live
    return found


def _unsupported_service_features(live: Mapping[str, Any]) -> Iterator[str]:
    providers = [one["capacityProvider"] for one in live.get("capacityProviderStrategy", ())]
    if providers:
        yield f"its capacity is from {', '.join(providers)}, not from the launch type FARGATE"
    elif live.get("launchType") != "FARGATE":
        yield f"its launch type is {live.get('launchType')}"
    for balancer in live.get("loadBalancers", ()):
        yield f"it is behind a load balancer ({balancer.get('targetGroupArn') or balancer.get('loadBalancerName')})"
    if live.get("schedulingStrategy", "REPLICA") != "REPLICA":
        yield f"its scheduling strategy is {live['schedulingStrategy']}"
    controller = live.get("deploymentController", {}).get("type", "ECS")
    if controller != "ECS":
        yield f"{controller} deploys it, not ECS"
    if any(one.get("serviceConnectConfiguration", {}).get("enabled") for one in live.get("deployments", ())):
        yield "it uses Service Connect"


def _unsupported_task_features(live: Mapping[str, Any], found: Mapping[str, Any]) -> Iterator[str]:
    del live
    names = [container["name"] for container in found["containerDefinitions"]]
    if len(names) != 1:
        yield f"its tasks have {len(names)} containers: {', '.join(names)}"
    if found.get("volumes"):
        yield f"its tasks mount volumes: {', '.join(volume['name'] for volume in found['volumes'])}"
    if found.get("ephemeralStorage", {}).get("sizeInGiB", _INCLUDED_STORAGE_GIB) > _INCLUDED_STORAGE_GIB:
        yield f"its tasks have {found['ephemeralStorage']['sizeInGiB']} GiB of ephemeral storage"
    system = found.get("runtimePlatform", {}).get("operatingSystemFamily", "LINUX")
    if system != "LINUX":
        yield f"its tasks run on {system}"


def _environment(aws: AwsClient, live: Mapping[str, Any], cluster: str, draft: Draft) -> dict[str, Value]:
    network = live["networkConfiguration"]["awsvpcConfiguration"]
    spec: dict[str, Value] = {
        "region": aws.region,
        "account": aws.account,
        "cluster": cluster,
        "network": {
            "subnets": sorted(network["subnets"]),
            "securityGroups": sorted(network.get("securityGroups", ())) or _default_group(aws, network["subnets"]),
            "assignPublicIp": network.get("assignPublicIp") == "ENABLED",
        },
    }
    found = aws.read("ecs", "describe_clusters", clusters=[cluster], include=["TAGS"])["clusters"]
    tags = parse_tags(found[0].get("tags", ()) if found else (), "key", "value")
    if OWNER_TAG not in tags:
        spec["policy"] = {"adopt": True}
        draft.adopted.append(f"the ECS cluster {cluster}, of which nothing but its tags is Moorage's")
    return spec


def _default_group(aws: AwsClient, subnets: list[str]) -> list[str]:
    """Return the VPC's default security group, which tasks without a group use."""
    vpc = aws.read("ec2", "describe_subnets", SubnetIds=subnets[:1])["Subnets"][0]["VpcId"]
    wanted = [{"Name": "group-name", "Values": ["default"]}, {"Name": "vpc-id", "Values": [vpc]}]
    return [
        group["GroupId"]
        for group in aws.iter_items("ec2", "describe_security_groups", "SecurityGroups", Filters=wanted)
    ]


def _model_sections(found: Mapping[str, Any], named: Mapping[str, Value], draft: Draft) -> dict[str, Value]:
    """Return the sections `image` and `service` for tasks like these with a trained model."""
    container = found["containerDefinitions"][0]
    service: dict[str, Value] = {
        **named,
        "cpu": format_cpu(int(found["cpu"])),
        "memory": format_memory(int(found["memory"])),
    }
    if env := dict(_variables(container, draft)):
        service["env"] = env
    if secrets := list(_secrets(container, draft)):
        service["secrets"] = secrets
    if health := container.get("healthCheck"):
        names = ("interval", "timeout", "retries", "startPeriod")
        service["health"] = {
            name: health[name] if name == "retries" else f"{health[name]}s" for name in names if name in health
        }
    if "stopTimeout" in container:
        service["stopTimeout"] = f"{container['stopTimeout']}s"
    architecture = _ARCHITECTURES[found.get("runtimePlatform", {}).get("cpuArchitecture", "X86_64")]
    image: dict[str, Value] = {"image": {"architecture": architecture}} if architecture != "amd64" else {}
    return {**image, "service": service}


def _variables(container: Mapping[str, Any], draft: Draft) -> Iterator[tuple[str, str]]:
    """Yield the variables without those that look like secrets: a spec is stored in Git."""
    for one in container.get("environment", ()):
        if redact(one["value"], one["name"]) == one["value"]:
            yield one["name"], one["value"]
        else:
            reported = "looks like a secret and is left out: put it into Secrets Manager or SSM, and name its ARN"
            draft.open_items.append(f"spec.service.secrets: the variable {one['name']} {reported}")


def _secrets(container: Mapping[str, Any], draft: Draft) -> Iterator[dict[str, str]]:
    for secret in container.get("secrets", ()):
        if _SECRET.match(secret["valueFrom"]):
            yield {"name": secret["name"], "valueFrom": secret["valueFrom"]}
        else:
            draft.open_items.append(
                f"spec.service.secrets: {secret['name']} is named {secret['valueFrom']}; a spec takes its ARN"
            )


def _add_notes(live: Mapping[str, Any], found: Mapping[str, Any], draft: Draft) -> None:
    """Add notes on what the sections don't express."""
    container = found["containerDefinitions"][0]
    tags = parse_tags(live.get("tags", ()), "key", "value")
    if OWNER_TAG in tags:
        other = f"{tags[OWNER_TAG]} of environment {tags.get(ENVIRONMENT_TAG, '?')}"
        draft.checks.append(f"it carries the tags of {other}: two would own it")
    draft.changes.append(
        f"the image: {container['image']} serves until a version is approved, whose image then takes the place of"
        " that one, by a rolling deployment"
    )
    if "command" in container or "entryPoint" in container:
        draft.changes.append("the container's command, which is the inference server's from then on")
    if container["name"] != CONTAINER_NAME:
        draft.changes.append(f"the container's name: {CONTAINER_NAME} instead of {container['name']}")
    for role in ("taskRoleArn", "executionRoleArn"):
        if role in found:
            draft.changes.append(f"{role}: roles made by Moorage take the place of {found[role]}, and may do less")
    if group := container.get("logConfiguration", {}).get("options", {}).get("awslogs-group"):
        draft.changes.append(f"the log group: Moorage makes one; {group} stays as it is")
    draft.changes.append("deployments: a circuit breaker that rolls back, 100 to 200 percent of the tasks")
    draft.changes.append(f"the family of task definitions: one of Moorage's is used; {found['family']} stays")


def _check_ports(aws: AwsClient, live: Mapping[str, Any], found: Mapping[str, Any], draft: Draft) -> None:
    """Check that the service's security groups allow Moorage's port, if the container has another one."""
    mappings = found["containerDefinitions"][0].get("portMappings", ())
    ports = ", ".join(map(str, sorted(mapping["containerPort"] for mapping in mappings))) or "no port"
    groups = live["networkConfiguration"]["awsvpcConfiguration"].get("securityGroups", ())
    if ports == str(CONTAINER_PORT) or not groups:
        return
    wanted = [{"Name": "group-id", "Values": list(groups)}]
    listed = list(aws.iter_items("ec2", "describe_security_groups", "SecurityGroups", Filters=wanted))
    rules = [rule for group in listed for rule in group.get("IpPermissions", ())]
    if not any(rule["IpProtocol"] == "-1" or rule["FromPort"] <= CONTAINER_PORT <= rule["ToPort"] for rule in rules):
        reported = f"the container listens on {ports}, Moorage's on {CONTAINER_PORT}"
        draft.open_items.append(f"{reported}, which the security groups ({', '.join(groups)}) don't let in yet")
