"""Describe the HTTP API in front of a service as the `api` section of a spec."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from controller.aws import AwsClient
from controller.core.values import Value
from controller.errors import FailedError, MissingError, NotFoundError
from controller.imports.draft import Draft

_SUPPORTED_HINT = (
    "Moorage manages HTTP APIs that lead over a VPC link to a Cloud Map service; take this away, or leave the API out"
)
_METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "ANY")
# An account's default limits: https://docs.aws.amazon.com/apigateway/latest/developerguide/limits.html
_DEFAULT_LIMITS = (10000.0, 5000)
_CORS = {"AllowOrigins": "allowOrigins", "AllowMethods": "allowMethods", "AllowHeaders": "allowHeaders"}


def find_apis(aws: AwsClient, cloud_map_arn: str) -> list[str]:
    """Return the ids of the APIs that lead to a Cloud Map service, given by its ARN."""
    found = []
    for api in aws.iter_items("apigatewayv2", "get_apis", "Items"):
        listed = aws.iter_items("apigatewayv2", "get_integrations", "Items", ApiId=api["ApiId"])
        if any(integration.get("IntegrationUri") == cloud_map_arn for integration in listed):
            found.append(api["ApiId"])
    return found


def find_cloud_map_arn(aws: AwsClient, api_id: str) -> str:
    """Return the ARN of the Cloud Map service that an API leads to.

    Raises NotFoundError, and FailedError with every obstacle.
    """
    return str(_integration(aws, _describe_api(aws, api_id))["IntegrationUri"])


def add_api(aws: AwsClient, api_id: str, draft: Draft) -> None:
    """Add an API to a draft of the service behind it. Raises NotFoundError, and FailedError with every obstacle."""
    live = _describe_api(aws, api_id)
    integration, routes = _integration(aws, live), _routes(aws, api_id)
    stage = _stage(aws, api_id, draft)
    section: dict[str, Value] = {"id": api_id}
    if stage["StageName"] != "$default":
        section["stage"] = stage["StageName"]
    if said := [{"method": route.split()[0], "path": route.split()[1]} for route in _supported_routes(routes)]:
        section["routes"] = said
    settings = stage.get("DefaultRouteSettings", {})
    limits = (
        settings.get("ThrottlingRateLimit", _DEFAULT_LIMITS[0]),
        settings.get("ThrottlingBurstLimit", _DEFAULT_LIMITS[1]),
    )
    if limits != _DEFAULT_LIMITS:
        section["throttle"] = {"rate": float(limits[0]), "burst": int(limits[1])}
    if cors := live.get("CorsConfiguration"):
        section["cors"] = _cors(cors)
    draft.adopted.append(f"the API {live['Name']} ({api_id}) with its stage {stage['StageName']}; its address stays")
    draft.environment["edge"] = {"type": "cloudMap", "vpcLink": integration["ConnectionId"]}
    draft.unmanaged.append(f"the VPC link {integration['ConnectionId']}: it is used, and nobody's who uses it")
    draft.spec = {**draft.spec, "api": section}
    _add_notes(live, stage, routes, integration, draft)


def _describe_api(aws: AwsClient, api_id: str) -> Mapping[str, Any]:
    found = (api for api in aws.iter_items("apigatewayv2", "get_apis", "Items") if api["ApiId"] == api_id)
    live: Mapping[str, Any] | None = next(found, None)
    if live is None:
        raise NotFoundError(f"there is no HTTP API {api_id} in {aws.region}")
    return live


def _integration(aws: AwsClient, live: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the one integration that all routes lead to."""
    listed = list(aws.iter_items("apigatewayv2", "get_integrations", "Items", ApiId=live["ApiId"]))
    routes = _routes(aws, live["ApiId"])
    targets = {route.get("Target", "").removeprefix("integrations/") for route in routes.values()}
    led = [one for one in listed if one["IntegrationId"] in targets]
    problems = [*_unsupported_api_features(live, routes), *_unsupported_integrations(led)]
    if problems:
        what = f"the API {live['Name']} ({live['ApiId']}) can't be said in a spec"
        raise FailedError(what, where=live["ApiId"], why="; ".join(problems), hint=_SUPPORTED_HINT)
    one: Mapping[str, Any] = led[0]
    return one


def _unsupported_api_features(live: Mapping[str, Any], routes: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    if live["ProtocolType"] != "HTTP":
        yield f"its protocol is {live['ProtocolType']}"
    for key, route in sorted(routes.items()):
        if route.get("AuthorizationType", "NONE") != "NONE":
            yield f"its route {key} asks for {route['AuthorizationType']} authorization"


def _unsupported_integrations(led: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    if len(led) != 1:
        yield f"its routes lead to {len(led)} integrations"
    for one in led:
        uri = one.get("IntegrationUri", "")
        if one.get("ConnectionType") != "VPC_LINK" or ":servicediscovery:" not in uri:
            yield f"it leads to {uri or one['IntegrationType']}, not over a VPC link to a Cloud Map service"


def _routes(aws: AwsClient, api_id: str) -> dict[str, Mapping[str, Any]]:
    return {route["RouteKey"]: route for route in aws.iter_items("apigatewayv2", "get_routes", "Items", ApiId=api_id)}


def _supported_routes(routes: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Return the routes with a method and a path; `$default` has neither."""
    return sorted(key for key in routes if key.split(" ", maxsplit=1)[0] in _METHODS)


def _stage(aws: AwsClient, api_id: str, draft: Draft) -> Mapping[str, Any]:
    """Return the stage to manage: `$default`, or else the first."""
    try:
        stages = list(aws.iter_items("apigatewayv2", "get_stages", "Items", ApiId=api_id))
    except MissingError:
        stages = []
    if not stages:
        raise FailedError(
            f"the API {api_id} has no stage, so that nobody can call it", hint="deploy it, or leave it out"
        )
    stages.sort(key=lambda stage: (stage["StageName"] != "$default", stage["StageName"]))
    draft.unmanaged.extend(f"the stage {stage['StageName']} of the API" for stage in stages[1:])
    chosen: Mapping[str, Any] = stages[0]
    return chosen


def _cors(live: Mapping[str, Any]) -> dict[str, Value]:
    """Return the CORS section. A missing setting is included if leaving it out would mean another default."""
    said: dict[str, Value] = {name: list(live.get(field, ())) for field, name in _CORS.items()}
    if live.get("AllowCredentials"):
        said["allowCredentials"] = True
    if live.get("ExposeHeaders"):
        said["exposeHeaders"] = list(live["ExposeHeaders"])
    if live.get("MaxAge", 0) > 0:
        said["maxAge"] = f"{live['MaxAge']}s"
    return said


def _add_notes(
    live: Mapping[str, Any],
    stage: Mapping[str, Any],
    routes: Mapping[str, Mapping[str, Any]],
    integration: Mapping[str, Any],
    draft: Draft,
) -> None:
    draft.unmanaged.extend(
        f"the route {key}, which lets in what no other route does" for key in routes if " " not in key
    )
    if live.get("CorsConfiguration", {}).get("MaxAge", 0) < 0:
        draft.checks.append(
            "its CORS forbids browsers to remember it (MaxAge -1), which becomes 0: they decide themselves"
        )
    if not stage.get("AutoDeploy"):
        reported = "it goes live with the first reconcile if its routes were changed since it was deployed last"
        draft.checks.append(f"the stage {stage['StageName']} deploys changes by itself from then on; {reported}")
    if stage.get("DefaultRouteSettings", {}).get("DetailedMetricsEnabled"):
        draft.checks.append(f"the stage {stage['StageName']} has detailed metrics, which are switched off")
    named = stage["StageName"] != "$default"
    if named != (integration.get("RequestParameters", {}).get("overwrite:path") == "$request.path"):
        draft.changes.append("the integration's path: the stage's name is no part of what the server is asked for")
