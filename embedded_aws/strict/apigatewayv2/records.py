"""What exists in API Gateway v2, and how a change reaches the data plane. No rule about a request belongs here."""

from __future__ import annotations

import secrets
import string
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

from embedded_aws.call import Answer, Call, Refused
from embedded_aws.gateway import Gateway
from embedded_aws.gateway.routes import parse
from embedded_aws.gateway.tables import Api, Deployment, Integration, Route, Stage
from embedded_aws.gateway.throttle import Limit
from embedded_aws.strict.paging import page
from embedded_aws.world import World

Item = dict[str, Any]

# What a list call returns at most when it doesn't say; documented for API Gateway's first version ("default 25, maximum 500").
_PAGE = 25


def new_id(length: int) -> str:
    """Make an identifier as API Gateway makes them."""
    return "".join(secrets.choice(string.ascii_lowercase + string.digits) for _ in range(length))


@dataclass
class ApiRecord:
    """One API and its parts, each in botocore's output shape."""

    region: str
    fields: Item
    integrations: dict[str, Item] = field(default_factory=dict)
    routes: dict[str, Item] = field(default_factory=dict)
    stages: dict[str, Item] = field(default_factory=dict)
    deployments: dict[str, Item] = field(default_factory=dict)
    snapshots: dict[str, Deployment] = field(default_factory=dict)


@dataclass
class LinkRecord:
    """One VPC link in botocore's output shape, and the ids of its network interfaces."""

    fields: Item
    interfaces: Sequence[str]


class Records:
    """All APIs and VPC links, by region and id. Under the world's lock, as every handler is."""

    gateway: Gateway

    def __init__(self, world: World) -> None:
        self.world = world
        self.apis: dict[tuple[str, str], ApiRecord] = {}
        self.links: dict[tuple[str, str], LinkRecord] = {}

    def handle(self, operation: str, handler: Callable[[Call], Mapping[str, Any] | Answer]) -> None:
        """Let `handler` answer the operation."""
        self.world.handle("apigatewayv2", operation, handler)

    def clear(self) -> None:
        """Forget everything."""
        self.apis.clear()
        self.links.clear()
        self.gateway.clear()

    def api(self, call: Call) -> ApiRecord:
        """Return the API that the call names. Raises Refused."""
        api_id = call.params["ApiId"]
        record = self.apis.get((call.region, api_id))
        if record is None:
            raise Refused("NotFoundException", f"Invalid API identifier specified {self.world.account}:{api_id}")
        return record

    def in_region(self, region: str) -> list[ApiRecord]:
        """Return the region's APIs, oldest first."""
        return [record for (where, _), record in self.apis.items() if where == region]

    def link_ready(self, region: str, link: str) -> bool:
        """Say whether a VPC link carries traffic. Called by the data plane, without the lock: one look into a dictionary."""
        found = self.links.get((region, link))
        return found is not None and found.fields["VpcLinkStatus"] == "AVAILABLE"

    def changed(self, record: ApiRecord) -> None:
        """Deploy a changed API to its stages with automatic deployment, and tell the data plane.

        Source: API Gateway developer guide, "Stages for HTTP APIs in API Gateway": with automatic deployments, changes to
        an API are released at once; without, a stage keeps serving the snapshot it was given.
        """
        automatic = [stage for stage in record.stages.values() if stage.get("AutoDeploy")]
        if automatic:
            deployment_id = self.deploy(
                record, "Automatic deployment triggered by changes to the Api configuration", automatic=True
            )
            for stage in automatic:
                stage["DeploymentId"] = deployment_id
        self.publish(record)

    def deploy(self, record: ApiRecord, description: str, *, automatic: bool) -> str:
        """Take a snapshot of the API's configuration; return the deployment's id."""
        deployment_id = new_id(6)
        record.deployments[deployment_id] = {
            "AutoDeployed": automatic,
            "CreatedDate": self.world.now(),
            "DeploymentId": deployment_id,
            "DeploymentStatus": "DEPLOYED",
            "Description": description,
        }
        record.snapshots[deployment_id] = _snapshot(deployment_id, record)
        return deployment_id

    def publish(self, record: ApiRecord) -> None:
        """Hand the data plane the API's deployed stages."""
        stages = {
            name: _stage(stage, record.snapshots[stage["DeploymentId"]])
            for name, stage in record.stages.items()
            if "DeploymentId" in stage and not record.fields["DisableExecuteApiEndpoint"]
        }
        self.gateway.publish(Api(record.fields["ApiId"], record.region, stages))


def listed(call: Call, items: list[Item]) -> dict[str, Any]:
    """Answer a list call with one page."""
    return page(items, call.params, "Items", _PAGE, refusal="BadRequestException")


def given(call: Call, *names: str) -> Item:
    """Return those of the call's parameters that were given."""
    return {name: call.params[name] for name in names if call.params.get(name) is not None}


def check_quota(count: int, limit: int, what: str) -> None:
    """Refuse one more than the quota (quotas of HTTP APIs). The text is AWS's, the code its model's "A limit has been exceeded"."""
    if count >= limit:
        raise Refused(
            "TooManyRequestsException",
            f"Maximum number of {what} has been reached. Please contact AWS if you need additional ones.",
        )


def cloud_map_target(uri: str) -> tuple[str, dict[str, str]] | None:
    """Split a Cloud Map service's ARN, with its query parameters, into service id and attributes; None for another URI."""
    arn, _, query = uri.partition("?")
    parts = arn.split(":")
    if len(parts) != 6 or parts[2] != "servicediscovery" or not parts[5].startswith("service/"):
        return None
    return parts[5].removeprefix("service/"), dict(parse_qsl(query))


def _snapshot(deployment_id: str, record: ApiRecord) -> Deployment:
    integrations = {key: _integration(item) for key, item in record.integrations.items()}
    routes = {}
    for item in record.routes.values():
        target = item.get("Target", "").removeprefix("integrations/")
        key = parse(item["RouteKey"])
        routes[key.text] = Route(key, integrations.get(target), is_open=item["AuthorizationType"] == "NONE")
    return Deployment(deployment_id, routes, record.fields.get("CorsConfiguration"))


def _integration(item: Item) -> Integration:
    service, attributes = cloud_map_target(item.get("IntegrationUri", "")) or ("", {})
    return Integration(
        service=service,
        attributes=attributes,
        link=item.get("ConnectionId", ""),
        method=item.get("IntegrationMethod", "ANY"),
        timeout=item["TimeoutInMillis"] / 1000,
        request_parameters=item.get("RequestParameters", {}),
        response_parameters=item.get("ResponseParameters", {}),
    )


def _stage(item: Item, deployment: Deployment) -> Stage:
    limits = {key: limit for key, settings in item["RouteSettings"].items() if (limit := _limit(settings))}
    return Stage(item["StageName"], deployment, _limit(item["DefaultRouteSettings"]), limits, item["StageVariables"])


def _limit(settings: Mapping[str, Any]) -> Limit | None:
    """Read throttling settings. The account's own quota (10,000 a second, bursts of 5,000) fills in what is not set."""
    if "ThrottlingRateLimit" not in settings and "ThrottlingBurstLimit" not in settings:
        return None
    return Limit(float(settings.get("ThrottlingRateLimit", 10_000)), int(settings.get("ThrottlingBurstLimit", 5_000)))
