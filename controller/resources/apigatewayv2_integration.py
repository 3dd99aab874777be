"""The integration of an HTTP API: through the environment's VPC link to the tasks in Cloud Map."""

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
from controller.core.values import Key, Ref, Value
from controller.errors import ConflictError, MissingError
from controller.resources.base import PermissionScope, Resource

# Integrations have no name and no tags; in an API of ours, those with this description are ours.
_DESCRIPTION = "Made by Moorage"
# The fixed fields of our integrations.
_DEFAULTS: dict[str, Value] = {
    "IntegrationType": "HTTP_PROXY",
    "IntegrationMethod": "ANY",
    "PayloadFormatVersion": "1.0",
    "TimeoutInMillis": 30000,
}


class ApiIntegration(Resource):
    """One integration for each HTTP API; every route leads to it."""

    kind = "apigatewayv2/integration"
    condition_type = "Exposed"
    policy = FieldPolicy(owned=frozenset({"RequestParameters", "duplicates"}))
    permissions = {
        "apigatewayv2.get_stages": frozenset({"apigateway:GET"}),
        "apigatewayv2.get_integrations": frozenset({"apigateway:GET"}),
        "apigatewayv2.create_integration": frozenset({"apigateway:POST"}),
        "apigatewayv2.update_integration": frozenset({"apigateway:PATCH"}),
        "apigatewayv2.delete_integration": frozenset({"apigateway:DELETE"}),
    }
    scopes = {
        "apigateway:GET": (
            PermissionScope("apigateway:{region}::/apis/*/integrations"),
            PermissionScope("apigateway:{region}::/apis/*/stages"),
        ),
        "apigateway:POST": (PermissionScope("apigateway:{region}::/apis/*/integrations"),),
        "apigateway:PATCH": (PermissionScope("apigateway:{region}::/apis/*/integrations/*"),),
        "apigateway:DELETE": (PermissionScope("apigateway:{region}::/apis/*/integrations/*"),),
    }
    retention_category = "service"

    def expand(self, context: SpecContext) -> Iterable[Node]:
        """Return one private integration."""
        if context.service is None or context.service.spec.api is None:
            return
        api, link = context.service.spec.api, context.environment.spec.edge.vpc_link
        desired: dict[str, Value] = {
            "IntegrationUri": Ref(context.own_key("servicediscovery/service"), "arn"),
            "ConnectionType": "VPC_LINK",
            "ConnectionId": link or Ref(context.shared_key("apigatewayv2/vpc-link"), "id"),
        }
        if context.trainable_spec is not None or api.id is None:
            # A private integration includes the stage's prefix in the path, which our server doesn't know:
            # https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-private.html
            prefixed = api.stage != "$default" and context.trainable_spec is not None
            desired |= _DEFAULTS | {"RequestParameters": {"overwrite:path": "$request.path"} if prefixed else {}}
        identity = {"api": Ref(context.own_key("apigatewayv2/api"), "id")}
        if api.id is None:
            yield Node(context.own_key(self.kind), identity, {**desired, "Description": _DESCRIPTION, "duplicates": []})
            return
        # In an existing API, the integration that leads where ours would is adopted, and found by its target instead of
        # a mark. It answers requests already, so nothing may be routed elsewhere before the tasks exist.
        identity["uri"] = Ref(context.own_key("servicediscovery/service"), "arn")
        yield Node(context.own_key(self.kind), identity, desired, (context.own_key("ecs/service"),))

    def observe(self, aws: AwsClient, targets: Sequence[Target]) -> dict[Key, Observed]:
        """List the integrations of each API once.

        Not for an API that hasn't changed since its integration was applied.
        """
        found = {}
        for target in targets:
            mark = api_change_token(aws, target.identity["api"])
            if mark and "RequestParameters" in target.applied_fields and target.known_outputs.get("mark") == mark:
                found[target.key] = Observed(target.applied_fields, target.known_outputs)
            elif mine := _find_owned(aws, target):
                found[target.key] = _observed(mine[0], mine[1:], mark)
        return found

    def apply(self, aws: AwsClient, step: Step, seen: Observed | None) -> Observed:
        """Create the integration or set all its fields, and delete the twins that a lost response left."""
        api, desired = step.node.identity["api"], step.node.desired
        settings = {field: value for field, value in desired.items() if field != "duplicates"}
        if seen is None:
            made = aws.write("apigatewayv2", "create_integration", ApiId=api, **(_DEFAULTS | settings))
            return _observed(made, (), "")
        # An empty value removes a mapping:
        # https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-parameter-mapping.html
        if "RequestParameters" in desired:
            settings["RequestParameters"] = (
                dict.fromkeys(seen.fields["RequestParameters"], "") | desired["RequestParameters"]
            )
        own = seen.outputs["id"]
        aws.write("apigatewayv2", "update_integration", ApiId=api, IntegrationId=own, **settings)
        for twin in seen.fields["duplicates"] if "duplicates" in desired else ():
            try:
                _delete_integration(aws, api, twin)
            except (
                ConflictError
            ):  # a route still leads to it: the route is corrected next, and a later pass deletes the twin
                continue
        return Observed({**seen.fields, **desired}, {"id": own, "mark": ""})

    def delete(self, aws: AwsClient, target: Target) -> Waiting | None:
        """Delete the integration and its twins; its routes are deleted by then."""
        for mine in _find_owned(aws, target):
            _delete_integration(aws, target.identity["api"], mine["IntegrationId"])
        return None


def _find_owned(aws: AwsClient, target: Target) -> list[Mapping[str, Any]]:
    """Return our integrations in one API, the known one first."""
    try:
        listed = list(aws.iter_items("apigatewayv2", "get_integrations", "Items", ApiId=target.identity["api"]))
    except MissingError:  # no such API
        return []
    known, uri = target.known_outputs.get("id"), target.identity.get("uri")
    mine = [item for item in listed if item["IntegrationId"] == known or item.get("Description") == _DESCRIPTION]
    mine = mine or [item for item in listed if item.get("IntegrationUri") == uri][:1]
    return sorted(mine, key=lambda item: (item["IntegrationId"] != known, item["IntegrationId"]))


def _observed(live: Mapping[str, Any], twins: Sequence[Mapping[str, Any]], change_token: str) -> Observed:
    fields = {
        **{field: live.get(field) for field in _FIELDS},
        "RequestParameters": live.get("RequestParameters", {}),
        "duplicates": [twin["IntegrationId"] for twin in twins],
    }
    return Observed(fields, {"id": live["IntegrationId"], "mark": change_token})


_FIELDS = (
    "IntegrationType",
    "IntegrationMethod",
    "IntegrationUri",
    "ConnectionType",
    "ConnectionId",
    "PayloadFormatVersion",
    "TimeoutInMillis",
    "Description",
)


def _delete_integration(aws: AwsClient, api: str, integration: str) -> None:
    with contextlib.suppress(MissingError):
        aws.write("apigatewayv2", "delete_integration", ApiId=api, IntegrationId=integration)
