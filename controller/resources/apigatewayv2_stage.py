"""The stage of an HTTP API, which makes it callable. Changes of routes are deployed to it automatically."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from controller.aws import AwsClient
from controller.aws.api_stages import list_stages
from controller.core.field_policy import FieldPolicy
from controller.core.graph import Node, Observed, Target
from controller.core.ownership import find_dropped_tags
from controller.core.plan import Step
from controller.core.spec_context import SpecContext
from controller.core.status import Failed, Ready, Verdict, Waiting
from controller.core.values import Key, Ref, Value
from controller.errors import MissingError
from controller.resources.base import PermissionScope, Resource
from controller.spec.models import Throttle

# The limits are an account's defaults, so the same as none. An update keeps what it doesn't name, so this also removes
# our limits: https://docs.aws.amazon.com/apigateway/latest/developerguide/limits.html
_DEFAULTS = {"ThrottlingRateLimit": 10000.0, "ThrottlingBurstLimit": 5000, "DetailedMetricsEnabled": False}


class ApiStage(Resource):
    """One stage for each HTTP API."""

    kind = "apigatewayv2/stage"
    condition_type = "Exposed"
    policy = FieldPolicy(
        # No limits in the spec means no limits.
        owned=frozenset({"DefaultRouteSettings"}),
        defaults={f"DefaultRouteSettings.{name}": value for name, value in _DEFAULTS.items()} | {"AutoDeploy": False},
    )
    permissions = {
        "apigatewayv2.get_apis": frozenset({"apigateway:GET"}),
        "apigatewayv2.get_api": frozenset({"apigateway:GET"}),
        "apigatewayv2.get_stages": frozenset({"apigateway:GET"}),
        "apigatewayv2.create_stage": frozenset({"apigateway:POST"}),
        "apigatewayv2.update_stage": frozenset({"apigateway:PATCH"}),
        "apigatewayv2.tag_resource": frozenset({"apigateway:POST"}),
        "apigatewayv2.untag_resource": frozenset({"apigateway:DELETE"}),
        "apigatewayv2.delete_stage": frozenset({"apigateway:DELETE"}),
    }
    scopes = {
        "apigateway:GET": (
            PermissionScope("apigateway:{region}::/apis"),
            PermissionScope("apigateway:{region}::/apis/*"),
            PermissionScope("apigateway:{region}::/apis/*/stages"),
        ),
        "apigateway:POST": (
            PermissionScope("apigateway:{region}::/apis/*/stages"),
            PermissionScope("apigateway:{region}::/tags/*"),
        ),
        "apigateway:PATCH": (PermissionScope("apigateway:{region}::/apis/*/stages/*"),),
        "apigateway:DELETE": (
            PermissionScope("apigateway:{region}::/apis/*/stages/*"),
            PermissionScope("apigateway:{region}::/tags/*"),
        ),
    }
    retention_category = "service"

    def expand(self, context: SpecContext) -> Iterable[Node]:
        """Return one stage, after the routes: an API without any can't be deployed."""
        if context.service is None or context.service.spec.api is None:
            return
        api = context.service.spec.api
        identity = {"api": Ref(context.own_key("apigatewayv2/api"), "id"), "name": api.stage}
        desired = {"AutoDeploy": True, "DefaultRouteSettings": _throttle_settings(api.throttle), "tags": context.tags()}
        routes = [context.own_key("apigatewayv2/route", f"{route.method} {route.path}") for route in api.routes]
        yield Node(context.own_key(self.kind), identity, desired, tuple(routes))

    def observe(self, aws: AwsClient, targets: Sequence[Target]) -> dict[Key, Observed]:
        """Find each stage among those of its API, and the endpoints of all APIs in one listing."""
        found = {target.key: live for target in targets if (live := _find_stage(aws, target.identity)) is not None}
        apis = {target.identity["api"] for target in targets if target.key in found}
        endpoints = _fetch_endpoints(aws, apis, listed=self.should_list(targets))
        return {
            target.key: _observed(found[target.key], endpoints.get(target.identity["api"], ""))
            for target in targets
            if target.key in found
        }

    def ready(self, node: Node, seen: Observed) -> Verdict:
        """Return whether the last automatic deployment succeeded."""
        del node
        failed = "fail" in seen.outputs["deployment"].lower()
        return Failed("DeploymentFailed", seen.outputs["deployment"]) if failed else Ready()

    def apply(self, aws: AwsClient, step: Step, seen: Observed | None) -> Observed:
        """Create the stage, or set all its fields."""
        identity, desired = step.node.identity, step.node.desired
        where = {"ApiId": identity["api"], "StageName": identity["name"]}
        limits, tags = desired["DefaultRouteSettings"], desired["tags"]
        if seen is None:
            made = aws.write(
                "apigatewayv2", "create_stage", **where, AutoDeploy=True, DefaultRouteSettings=limits, Tags=tags
            )
            return _observed(made, _fetch_endpoints(aws, [identity["api"]])[identity["api"]])
        live = aws.write(
            "apigatewayv2", "update_stage", **where, AutoDeploy=True, DefaultRouteSettings=_DEFAULTS | limits
        )
        _update_tags(aws, step, seen)
        updated = _observed(live, "")
        return Observed({**updated.fields, "tags": tags}, {**updated.outputs, "url": seen.outputs["url"]})

    def delete(self, aws: AwsClient, target: Target) -> Waiting | None:
        """Delete the stage; the API then accepts no request."""
        where = {"ApiId": target.identity["api"], "StageName": target.identity["name"]}
        with contextlib.suppress(MissingError):
            aws.write("apigatewayv2", "delete_stage", **where)
        return None

    def status_facts(self, seen: Observed) -> Mapping[str, Value]:
        """Return the model's endpoint."""
        return {"endpoint": seen.outputs["url"]}


def _throttle_settings(throttle: Throttle | None) -> dict[str, Value]:
    if throttle is None:
        return {}
    return {"ThrottlingRateLimit": throttle.rate, "ThrottlingBurstLimit": throttle.burst}


def _find_stage(aws: AwsClient, identity: Mapping[str, Value]) -> Mapping[str, Any] | None:
    return next((live for live in list_stages(aws, identity["api"]) if live["StageName"] == identity["name"]), None)


def _fetch_endpoints(aws: AwsClient, apis: Collection[str], *, listed: bool = False) -> dict[str, str]:
    if listed or len(apis) > 1:
        return {api["ApiId"]: api["ApiEndpoint"] for api in aws.list_items("apigatewayv2", "get_apis", "Items")}
    return {api: str(aws.read("apigatewayv2", "get_api", ApiId=api)["ApiEndpoint"]) for api in apis}


def _observed(live: Mapping[str, Any], endpoint: str) -> Observed:
    fields = {name: live.get(name) for name in ("AutoDeploy", "DefaultRouteSettings")}
    name = live["StageName"]
    outputs = {
        "name": name,
        "url": endpoint if name == "$default" else f"{endpoint}/{name}",
        "deployment": live.get("LastDeploymentStatusMessage", ""),
    }
    return Observed({**fields, "tags": live.get("Tags", {})}, outputs)


def _update_tags(aws: AwsClient, step: Step, seen: Observed) -> None:
    identity, wanted, dropped = step.node.identity, step.node.desired["tags"], find_dropped_tags(step.changes)
    path = f"/apis/{identity['api']}/stages/{identity['name']}"
    arn = f"arn:{aws.partition}:apigateway:{aws.region}::{path}"
    if not wanted.items() <= seen.fields["tags"].items():
        aws.write("apigatewayv2", "tag_resource", ResourceArn=arn, Tags=wanted)
    if dropped:
        aws.write("apigatewayv2", "untag_resource", ResourceArn=arn, TagKeys=dropped)
