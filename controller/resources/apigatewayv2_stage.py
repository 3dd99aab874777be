"""The stage of an HTTP API: from here on the world can call it. Changes of routes reach it by themselves."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from controller.aws import Aws
from controller.aws.gateway import stages
from controller.core.graph import Node, Observed, Target
from controller.core.ownership import dropped_tags
from controller.core.plan import Step
from controller.core.policy import FieldPolicy
from controller.core.status import Failed, Ready, Verdict, Waiting
from controller.core.values import Key, Ref, Value
from controller.core.wanted import Wanted
from controller.errors import MissingError
from controller.resources.base import Resource, Scope
from controller.spec.models import Throttle

# The limits are what an account has by default, so the same as none. An update keeps what it doesn't name, so this is
# also how ours are taken back: https://docs.aws.amazon.com/apigateway/latest/developerguide/limits.html
_PLAIN = {"ThrottlingRateLimit": 10000.0, "ThrottlingBurstLimit": 5000, "DetailedMetricsEnabled": False}


class Stage(Resource):
    """One for each HTTP API."""

    kind = "apigatewayv2/stage"
    condition = "Exposed"
    policy = FieldPolicy(
        # No limits in the spec means no limits.
        owned=frozenset({"DefaultRouteSettings"}),
        defaults={f"DefaultRouteSettings.{name}": value for name, value in _PLAIN.items()} | {"AutoDeploy": False},
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
            Scope("apigateway:{region}::/apis"),
            Scope("apigateway:{region}::/apis/*"),
            Scope("apigateway:{region}::/apis/*/stages"),
        ),
        "apigateway:POST": (
            Scope("apigateway:{region}::/apis/*/stages"),
            Scope("apigateway:{region}::/tags/*"),
        ),
        "apigateway:PATCH": (Scope("apigateway:{region}::/apis/*/stages/*"),),
        "apigateway:DELETE": (
            Scope("apigateway:{region}::/apis/*/stages/*"),
            Scope("apigateway:{region}::/tags/*"),
        ),
    }
    retain = "service"

    def expand(self, want: Wanted) -> Iterable[Node]:
        """One, after the routes: an API without any can't be deployed."""
        if want.service is None or want.service.spec.api is None:
            return
        api = want.service.spec.api
        identity = {"api": Ref(want.own("apigatewayv2/api"), "id"), "name": api.stage}
        desired = {"AutoDeploy": True, "DefaultRouteSettings": _limits(api.throttle), "tags": want.tags()}
        routes = [want.own("apigatewayv2/route", f"{route.method} {route.path}") for route in api.routes]
        yield Node(want.own(self.kind), identity, desired, tuple(routes))

    def observe(self, aws: Aws, targets: Sequence[Target]) -> dict[Key, Observed]:
        """Each stage among those of its API, and the endpoints of all APIs in one listing."""
        found = {target.key: live for target in targets if (live := _stage(aws, target.identity)) is not None}
        apis = {target.identity["api"] for target in targets if target.key in found}
        endpoints = _endpoints(aws, apis, listed=self.many(targets))
        return {
            target.key: _observed(found[target.key], endpoints.get(target.identity["api"], ""))
            for target in targets
            if target.key in found
        }

    def ready(self, node: Node, seen: Observed) -> Verdict:
        """Whether the last automatic deployment went well."""
        del node
        failed = "fail" in seen.outputs["deployment"].lower()
        return Failed("DeploymentFailed", seen.outputs["deployment"]) if failed else Ready()

    def apply(self, aws: Aws, step: Step, seen: Observed | None) -> Observed:
        """Make it, or set all of it."""
        identity, desired = step.node.identity, step.node.desired
        where = {"ApiId": identity["api"], "StageName": identity["name"]}
        limits, tags = desired["DefaultRouteSettings"], desired["tags"]
        if seen is None:
            made = aws.write(
                "apigatewayv2", "create_stage", **where, AutoDeploy=True, DefaultRouteSettings=limits, Tags=tags
            )
            return _observed(made, _endpoints(aws, [identity["api"]])[identity["api"]])
        live = aws.write("apigatewayv2", "update_stage", **where, AutoDeploy=True, DefaultRouteSettings=_PLAIN | limits)
        _retag(aws, step, seen)
        updated = _observed(live, "")
        return Observed({**updated.fields, "tags": tags}, {**updated.outputs, "url": seen.outputs["url"]})

    def delete(self, aws: Aws, target: Target) -> Waiting | None:
        """Remove it; the API then answers nobody."""
        where = {"ApiId": target.identity["api"], "StageName": target.identity["name"]}
        with contextlib.suppress(MissingError):
            aws.write("apigatewayv2", "delete_stage", **where)
        return None

    def facts(self, seen: Observed) -> Mapping[str, Value]:
        """Where the model is reached."""
        return {"endpoint": seen.outputs["url"]}


def _limits(throttle: Throttle | None) -> dict[str, Value]:
    if throttle is None:
        return {}
    return {"ThrottlingRateLimit": throttle.rate, "ThrottlingBurstLimit": throttle.burst}


def _stage(aws: Aws, identity: Mapping[str, Value]) -> Mapping[str, Any] | None:
    return next((live for live in stages(aws, identity["api"]) if live["StageName"] == identity["name"]), None)


def _endpoints(aws: Aws, apis: Collection[str], *, listed: bool = False) -> dict[str, str]:
    if listed or len(apis) > 1:
        return {api["ApiId"]: api["ApiEndpoint"] for api in aws.listed("apigatewayv2", "get_apis", "Items")}
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


def _retag(aws: Aws, step: Step, seen: Observed) -> None:
    identity, wanted, dropped = step.node.identity, step.node.desired["tags"], dropped_tags(step.changes)
    path = f"/apis/{identity['api']}/stages/{identity['name']}"
    arn = f"arn:{aws.partition}:apigateway:{aws.region}::{path}"
    if not wanted.items() <= seen.fields["tags"].items():
        aws.write("apigatewayv2", "tag_resource", ResourceArn=arn, Tags=wanted)
    if dropped:
        aws.write("apigatewayv2", "untag_resource", ResourceArn=arn, TagKeys=dropped)
