"""The routes of an HTTP API: the methods and paths that it accepts."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from controller.aws import AwsClient
from controller.aws.api_stages import api_change_token
from controller.core.field_policy import FieldPolicy
from controller.core.graph import Node, Observed, Target
from controller.core.plan import Step
from controller.core.spec_context import SpecContext
from controller.core.status import Waiting
from controller.core.values import Format, Key, Ref
from controller.errors import MissingError
from controller.resources.base import PermissionScope, Resource


class ApiRoute(Resource):
    """One route for each of the spec, found by its key, which is unique in its API."""

    kind = "apigatewayv2/route"
    condition_type = "Exposed"
    policy = FieldPolicy(defaults={"AuthorizationType": "NONE"})
    permissions = {
        "apigatewayv2.get_stages": frozenset({"apigateway:GET"}),
        "apigatewayv2.get_routes": frozenset({"apigateway:GET"}),
        "apigatewayv2.create_route": frozenset({"apigateway:POST"}),
        "apigatewayv2.update_route": frozenset({"apigateway:PATCH"}),
        "apigatewayv2.delete_route": frozenset({"apigateway:DELETE"}),
    }
    scopes = {
        "apigateway:GET": (
            PermissionScope("apigateway:{region}::/apis/*/routes"),
            PermissionScope("apigateway:{region}::/apis/*/stages"),
        ),
        "apigateway:POST": (PermissionScope("apigateway:{region}::/apis/*/routes"),),
        "apigateway:PATCH": (PermissionScope("apigateway:{region}::/apis/*/routes/*"),),
        "apigateway:DELETE": (PermissionScope("apigateway:{region}::/apis/*/routes/*"),),
    }
    retention_category = "service"

    def expand(self, context: SpecContext) -> Iterable[Node]:
        """Return one route for each of the spec, all to the single integration."""
        if context.service is None or context.service.spec.api is None:
            return
        target = Format("integrations/{}", (Ref(context.own_key("apigatewayv2/integration"), "id"),))
        for route in context.service.spec.api.routes:
            route_key = f"{route.method} {route.path}"
            identity = {"api": Ref(context.own_key("apigatewayv2/api"), "id"), "routeKey": route_key}
            yield Node(context.own_key(self.kind, route_key), identity, {"Target": target, "AuthorizationType": "NONE"})

    def observe(self, aws: AwsClient, targets: Sequence[Target]) -> dict[Key, Observed]:
        """List the routes of each API once, whatever their number; not for an API that hasn't changed since."""
        found: dict[Key, Observed] = {}
        for api in sorted({target.identity["api"] for target in targets}):
            mine = [target for target in targets if target.identity["api"] == api]
            mark = api_change_token(aws, api)
            if mark and all(target.applied_fields and target.known_outputs.get("mark") == mark for target in mine):
                found |= {target.key: Observed(target.applied_fields, target.known_outputs) for target in mine}
                continue
            routes = _list_routes(aws, api)
            live = ((target.key, routes.get(target.identity["routeKey"])) for target in mine)
            found |= {key: _observed(route, mark) for key, route in live if route is not None}
        return found

    def apply(self, aws: AwsClient, step: Step, seen: Observed | None) -> Observed:
        """Create the route, or correct its target."""
        api, route_key = step.node.identity["api"], step.node.identity["routeKey"]
        if seen is None:
            made = aws.write("apigatewayv2", "create_route", ApiId=api, RouteKey=route_key, **step.node.desired)
            return _observed(made, "")
        route_id = seen.outputs["id"]
        live = aws.write("apigatewayv2", "update_route", ApiId=api, RouteId=route_id, **step.node.desired)
        return _observed(live, "")

    def delete(self, aws: AwsClient, target: Target) -> Waiting | None:
        """Delete the route."""
        live = _list_routes(aws, target.identity["api"]).get(target.identity["routeKey"])
        if live is not None:
            with contextlib.suppress(MissingError):
                aws.write("apigatewayv2", "delete_route", ApiId=target.identity["api"], RouteId=live["RouteId"])
        return None


def _list_routes(aws: AwsClient, api: str) -> dict[str, Mapping[str, Any]]:
    try:
        return {live["RouteKey"]: live for live in aws.iter_items("apigatewayv2", "get_routes", "Items", ApiId=api)}
    except MissingError:  # no such API
        return {}


def _observed(live: Mapping[str, Any], change_token: str) -> Observed:
    fields = {"Target": live.get("Target"), "AuthorizationType": live.get("AuthorizationType")}
    return Observed(fields, {"id": live["RouteId"], "mark": change_token})
