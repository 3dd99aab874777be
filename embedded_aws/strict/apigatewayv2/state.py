"""The state of API Gateway v2, and how a change reaches the data plane. Rules about requests don't belong here."""

from __future__ import annotations

import secrets
import string
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

from embedded_aws.api_call import ApiCall, ApiError, ApiResponse
from embedded_aws.emulator import Emulator
from embedded_aws.gateway import HttpApiDataPlane
from embedded_aws.gateway.published import ApiSnapshot, PrivateIntegration, PublishedApi, PublishedRoute, PublishedStage
from embedded_aws.gateway.route_selection import parse_route_key
from embedded_aws.gateway.route_throttle import RateLimit
from embedded_aws.strict.paging import build_page

OutputShape = dict[str, Any]

# The default page size of a list call. It is documented for API Gateway's first version ("default 25, maximum 500").
_PAGE = 25


def generate_id(length: int) -> str:
    """Return a new identifier in API Gateway's form."""
    return "".join(secrets.choice(string.ascii_lowercase + string.digits) for _ in range(length))


@dataclass
class HttpApiState:
    """One API and its parts, each in botocore's output shape."""

    region: str
    fields: OutputShape
    integrations: dict[str, OutputShape] = field(default_factory=dict)
    routes: dict[str, OutputShape] = field(default_factory=dict)
    stages: dict[str, OutputShape] = field(default_factory=dict)
    deployments: dict[str, OutputShape] = field(default_factory=dict)
    snapshots: dict[str, ApiSnapshot] = field(default_factory=dict)


@dataclass
class VpcLinkState:
    """One VPC link in botocore's output shape, and the ids of its network interfaces."""

    fields: OutputShape
    interfaces: Sequence[str]


class ApiGatewayState:
    """All APIs and VPC links, by region and id. Protected by the emulator's lock, under which every handler runs."""

    data_plane: HttpApiDataPlane

    def __init__(self, emulator: Emulator) -> None:
        self.emulator = emulator
        self.apis: dict[tuple[str, str], HttpApiState] = {}
        self.links: dict[tuple[str, str], VpcLinkState] = {}

    def register_handler(self, operation: str, handler: Callable[[ApiCall], Mapping[str, Any] | ApiResponse]) -> None:
        """Register `handler` for the operation."""
        self.emulator.register_handler("apigatewayv2", operation, handler)

    def clear(self) -> None:
        """Forget all APIs and VPC links."""
        self.apis.clear()
        self.links.clear()
        self.data_plane.clear()

    def get_api(self, call: ApiCall) -> HttpApiState:
        """Return the API that the call names. Raises ApiError."""
        api_id = call.params["ApiId"]
        record = self.apis.get((call.region, api_id))
        if record is None:
            raise ApiError("NotFoundException", f"Invalid API identifier specified {self.emulator.account}:{api_id}")
        return record

    def list_apis(self, region: str) -> list[HttpApiState]:
        """Return the region's APIs, oldest first."""
        return [record for (where, _), record in self.apis.items() if where == region]

    def is_link_available(self, region: str, link: str) -> bool:
        """Return whether a VPC link carries traffic.

        The data plane calls this without the lock: it reads one dictionary.
        """
        link_state = self.links.get((region, link))
        return link_state is not None and link_state.fields["VpcLinkStatus"] == "AVAILABLE"

    def release_change(self, record: HttpApiState) -> None:
        """Deploy a changed API to its stages with automatic deployment, and publish it to the data plane.

        Source: API Gateway developer guide, "Stages for HTTP APIs in API Gateway". With automatic deployments, changes
        to an API are released at once. Without them, a stage keeps serving its snapshot.
        """
        automatic = [stage for stage in record.stages.values() if stage.get("AutoDeploy")]
        if automatic:
            deployment_id = self.create_deployment(
                record, "Automatic deployment triggered by changes to the Api configuration", automatic=True
            )
            for stage in automatic:
                stage["DeploymentId"] = deployment_id
        self.publish_api(record)

    def create_deployment(self, record: HttpApiState, description: str, *, automatic: bool) -> str:
        """Take a snapshot of the API's configuration; return the deployment's id."""
        deployment_id = generate_id(6)
        record.deployments[deployment_id] = {
            "AutoDeployed": automatic,
            "CreatedDate": self.emulator.now(),
            "DeploymentId": deployment_id,
            "DeploymentStatus": "DEPLOYED",
            "Description": description,
        }
        record.snapshots[deployment_id] = _build_snapshot(deployment_id, record)
        return deployment_id

    def publish_api(self, record: HttpApiState) -> None:
        """Publish the API's deployed stages to the data plane."""
        stages = {
            name: _build_stage(stage, record.snapshots[stage["DeploymentId"]])
            for name, stage in record.stages.items()
            if "DeploymentId" in stage and not record.fields["DisableExecuteApiEndpoint"]
        }
        self.data_plane.publish(PublishedApi(record.fields["ApiId"], record.region, stages))


def list_page(call: ApiCall, items: list[OutputShape]) -> dict[str, Any]:
    """Return one page of a list call."""
    return build_page(items, call.params, "Items", _PAGE, error_code="BadRequestException")


def given_parameters(call: ApiCall, *names: str) -> OutputShape:
    """Return the parameters that the call gives a value."""
    return {name: call.params[name] for name in names if call.params.get(name) is not None}


def check_quota(count: int, limit: int, what: str) -> None:
    """Raise ApiError when one more would exceed the quota (quotas of HTTP APIs).

    The message is AWS's, the code its model's "A limit has been exceeded".
    """
    if count >= limit:
        raise ApiError(
            "TooManyRequestsException",
            f"Maximum number of {what} has been reached. Please contact AWS if you need additional ones.",
        )


def parse_cloud_map_uri(uri: str) -> tuple[str, dict[str, str]] | None:
    """Split a Cloud Map service's ARN, with its query parameters, into service id and attributes.

    Return None for any other URI.
    """
    arn, _, query = uri.partition("?")
    parts = arn.split(":")
    if len(parts) != 6 or parts[2] != "servicediscovery" or not parts[5].startswith("service/"):
        return None
    return parts[5].removeprefix("service/"), dict(parse_qsl(query))


def _build_snapshot(deployment_id: str, record: HttpApiState) -> ApiSnapshot:
    integrations = {key: _build_integration(item) for key, item in record.integrations.items()}
    routes = {}
    for item in record.routes.values():
        target = item.get("Target", "").removeprefix("integrations/")
        key = parse_route_key(item["RouteKey"])
        routes[key.text] = PublishedRoute(key, integrations.get(target), is_open=item["AuthorizationType"] == "NONE")
    return ApiSnapshot(deployment_id, routes, record.fields.get("CorsConfiguration"))


def _build_integration(item: OutputShape) -> PrivateIntegration:
    service, attributes = parse_cloud_map_uri(item.get("IntegrationUri", "")) or ("", {})
    return PrivateIntegration(
        service=service,
        attributes=attributes,
        link=item.get("ConnectionId", ""),
        method=item.get("IntegrationMethod", "ANY"),
        timeout=item["TimeoutInMillis"] / 1000,
        request_parameters=item.get("RequestParameters", {}),
        response_parameters=item.get("ResponseParameters", {}),
    )


def _build_stage(item: OutputShape, deployment: ApiSnapshot) -> PublishedStage:
    limits = {key: limit for key, settings in item["RouteSettings"].items() if (limit := _build_limit(settings))}
    return PublishedStage(
        item["StageName"], deployment, _build_limit(item["DefaultRouteSettings"]), limits, item["StageVariables"]
    )


def _build_limit(settings: Mapping[str, Any]) -> RateLimit | None:
    """Read throttling settings. The account's quota (10,000 a second, bursts of 5,000) replaces omitted values."""
    if "ThrottlingRateLimit" not in settings and "ThrottlingBurstLimit" not in settings:
        return None
    return RateLimit(
        float(settings.get("ThrottlingRateLimit", 10_000)), int(settings.get("ThrottlingBurstLimit", 5_000))
    )
