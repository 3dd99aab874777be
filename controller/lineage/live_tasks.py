"""Find what serves now: the API's routes, the tasks behind them, and the task definition of those tasks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from controller.aws import AwsClient
from controller.core.ownership import is_owned_by, parse_tags
from controller.core.values import Key
from controller.errors import MissingError
from controller.lineage.hop import NOT_MADE_BY_MOORAGE, VERSION_LABEL, Hop, find_server_container


def trace_route(aws: AwsClient, owner: Key) -> tuple[Hop, str]:
    """Return the API with the owner's tags, and the Cloud Map service that its routes lead to."""
    apis = [
        api for api in aws.iter_items("apigatewayv2", "get_apis", "Items") if is_owned_by(owner, api.get("Tags", {}))
    ]
    if not apis:
        return Hop("route", problem="no HTTP API carries its tags: it is reached inside the VPC only"), ""
    api = min(apis, key=lambda found: (str(found["CreatedDate"]), found["ApiId"]))
    stages = [stage["StageName"] for stage in aws.iter_items("apigatewayv2", "get_stages", "Items", ApiId=api["ApiId"])]
    routes = list(aws.iter_items("apigatewayv2", "get_routes", "Items", ApiId=api["ApiId"]))
    integrations = list(aws.iter_items("apigatewayv2", "get_integrations", "Items", ApiId=api["ApiId"]))
    used = {str(route.get("Target", "")).removeprefix("integrations/") for route in routes}
    uris = sorted({i.get("IntegrationUri", "") for i in integrations if i["IntegrationId"] in used})
    prefix = [f"{api['ApiEndpoint']}{'' if name == '$default' else f'/{name}'}" for name in sorted(stages)]
    facts = {
        "endpoint": prefix[0] if prefix else None,
        "routes": sorted(route["RouteKey"] for route in routes),
        "leads_to": uris,
    }
    problems = {
        "it has no stage, so nobody can call it": not stages,
        "its routes lead nowhere": not uris,
        f"{len(apis)} APIs carry its tags; this is the oldest": len(apis) > 1,
        f"its routes lead to {len(uris)} places; the first is followed": len(uris) > 1,
    }
    problem = "; ".join(text for text, holds in problems.items() if holds)
    return Hop("route", api["ApiId"], facts, problem), uris[0] if uris else ""


def list_registered_tasks(aws: AwsClient, cloud_map_arn: str) -> list[Mapping[str, Any]] | None:
    """Return the tasks that are registered with the Cloud Map service, as ECS describes them."""
    clusters: dict[str, list[str]] = {}
    service = cloud_map_arn.rpartition("/")[2]
    try:
        for instance in aws.iter_items("servicediscovery", "list_instances", "Instances", ServiceId=service):
            clusters.setdefault(instance["Attributes"].get("ECS_CLUSTER_NAME", ""), []).append(instance["Id"])
    except MissingError:
        return []
    return [task for cluster, ids in sorted(clusters.items()) for task in _describe(aws, cluster, sorted(ids))]


def list_service_tasks(aws: AwsClient, owner: Key, cluster: str) -> list[Mapping[str, Any]] | None:
    """Return the running tasks of the ECS service with the owner's tags; None if there is no such service."""
    try:
        arns = list(aws.iter_items("ecs", "list_services", "serviceArns", cluster=cluster))
        for start in range(0, len(arns), 10):
            some = arns[start : start + 10]
            found = aws.read("ecs", "describe_services", cluster=cluster, services=some, include=["TAGS"])["services"]
            for service in found:
                if is_owned_by(owner, parse_tags(service.get("tags", ()), "key", "value")):
                    name = service["serviceName"]
                    ids = list(aws.iter_items("ecs", "list_tasks", "taskArns", cluster=cluster, serviceName=name))
                    return list(_describe(aws, cluster, ids))
    except MissingError:
        return None
    return None


def _describe(aws: AwsClient, cluster: str, ids: Sequence[str]) -> Iterator[Mapping[str, Any]]:
    for start in range(0, len(ids), 100):
        yield from aws.read("ecs", "describe_tasks", cluster=cluster, tasks=list(ids[start : start + 100]))["tasks"]


def group_by_image(tasks: Sequence[Mapping[str, Any]]) -> list[list[Mapping[str, Any]]]:
    """Group tasks by task definition and pulled image."""
    groups: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for task in tasks:
        pulled = find_server_container(task.get("containers", ())).get("imageDigest", "")
        groups.setdefault((task["taskDefinitionArn"], pulled), []).append(task)
    return sorted(groups.values(), key=lambda group: (-len(group), group[0]["taskDefinitionArn"]))


def trace_task(aws: AwsClient, tasks: Sequence[Mapping[str, Any]]) -> tuple[Hop, Mapping[str, str]]:
    """Compare the tasks of one task definition with it, and return the labels of its container."""
    arn = tasks[0]["taskDefinitionArn"]
    healthy = [task for task in tasks if task.get("healthStatus") == "HEALTHY"]
    facts = {
        "service": tasks[0].get("group", "").removeprefix("service:"),
        "tasks": sorted(task["taskArn"].rpartition("/")[2] for task in tasks),
        "healthy": len(healthy),
    }
    problem = "" if healthy else "none of its tasks is healthy"
    try:
        definition = aws.read("ecs", "describe_task_definition", taskDefinition=arn)["taskDefinition"]
    except MissingError:
        return Hop("task", arn.rpartition("/")[2], facts, "its task definition was deleted"), {}
    container = find_server_container(definition["containerDefinitions"])
    labels: Mapping[str, str] = container.get("dockerLabels", {})
    pulled = find_server_container(tasks[0].get("containers", ())).get("imageDigest", "")
    if VERSION_LABEL not in labels:
        strange = f"{NOT_MADE_BY_MOORAGE}: its image, {container.get('image')}, is served as it is"
        return Hop("task", arn.rpartition("/")[2], facts, strange), labels
    if not str(container.get("image", "")).endswith(f"@{pulled}"):
        problem = f"the task definition names {container.get('image')}, and {pulled or 'nothing'} was pulled"
    return Hop("task", arn.rpartition("/")[2], facts, problem), labels
