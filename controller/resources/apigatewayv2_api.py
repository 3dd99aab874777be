"""An HTTP API. Names aren't unique in API Gateway, so ours is the oldest one with our name and our ownership tags."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from controller.aws import AwsClient
from controller.core.field_policy import FieldPolicy
from controller.core.graph import Node, Observed, Target
from controller.core.ownership import ENVIRONMENT_TAG, OWNER_TAG, find_dropped_tags
from controller.core.plan import Step
from controller.core.spec_context import SpecContext
from controller.core.status import Waiting
from controller.core.values import Key, Value
from controller.errors import MissingError
from controller.resources.base import PermissionScope, Resource
from controller.spec.models import Cors

# What browsers may do: an origin that others add lets another site in.
_CORS_LIST_FIELDS = frozenset(
    f"CorsConfiguration.{name}" for name in ("AllowOrigins", "AllowMethods", "AllowHeaders", "ExposeHeaders")
)


class HttpApi(Resource):
    """One API for each ModelService that has an `api`."""

    kind = "apigatewayv2/api"
    condition_type = "Exposed"
    policy = FieldPolicy(
        # No CORS in the spec means no CORS; a create that was sent twice leaves a twin that must be deleted.
        owned=frozenset({"CorsConfiguration", "duplicates"}) | _CORS_LIST_FIELDS,
        sets=_CORS_LIST_FIELDS,
        defaults={"CorsConfiguration.AllowCredentials": False, "CorsConfiguration.MaxAge": 0},
    )
    # https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonapigatewaymanagementv2.html
    permissions = {
        "apigatewayv2.get_apis": frozenset({"apigateway:GET"}),
        "apigatewayv2.create_api": frozenset({"apigateway:POST"}),
        "apigatewayv2.update_api": frozenset({"apigateway:PATCH"}),
        "apigatewayv2.delete_cors_configuration": frozenset({"apigateway:DELETE"}),
        "apigatewayv2.tag_resource": frozenset({"apigateway:POST"}),
        "apigatewayv2.untag_resource": frozenset({"apigateway:DELETE"}),
        "apigatewayv2.delete_api": frozenset({"apigateway:DELETE"}),
    }
    scopes = {
        "apigateway:GET": (PermissionScope("apigateway:{region}::/apis"),),
        "apigateway:POST": (
            PermissionScope("apigateway:{region}::/apis"),
            PermissionScope("apigateway:{region}::/tags/*"),
        ),
        "apigateway:PATCH": (PermissionScope("apigateway:{region}::/apis/*"),),
        "apigateway:DELETE": (
            PermissionScope("apigateway:{region}::/apis/*"),
            PermissionScope("apigateway:{region}::/tags/*"),
        ),
    }
    retention_category = "service"

    def expand(self, context: SpecContext) -> Iterable[Node]:
        """Return one API with the spec's CORS section."""
        if context.service is None or context.service.spec.api is None:
            return
        tags, api_id = context.tags(), context.service.spec.api.id
        identity = (
            {"id": api_id}
            if api_id
            else {
                "name": context.physical_name(limit=128),
                "tags": {name: tags[name] for name in (ENVIRONMENT_TAG, OWNER_TAG)},
            }
        )
        desired = {
            "CorsConfiguration": _cors_configuration(context.service.spec.api.cors),
            "duplicates": [],
            "tags": tags,
        }
        yield Node(context.own_key(self.kind), identity, desired, reference_field="spec.api.id" if api_id else "")

    def observe(self, aws: AwsClient, targets: Sequence[Target]) -> dict[Key, Observed]:
        """List all APIs of the Region and find ours."""
        listed: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
        for api in aws.list_items("apigatewayv2", "get_apis", "Items"):
            listed.setdefault(("name", api["Name"]), []).append(api)
            listed["id", api["ApiId"]] = [api]
        candidates = {target.key: _find_owned(listed, target) for target in targets}
        return {key: _observed(found[0], found[1:]) for key, found in candidates.items() if found}

    def apply(self, aws: AwsClient, step: Step, seen: Observed | None) -> Observed:
        """Create the API, or set CORS and tags and delete the twins."""
        desired = step.node.desired
        if seen is None:
            settings = {"CorsConfiguration": desired["CorsConfiguration"]} if desired["CorsConfiguration"] else {}
            name = step.node.identity["name"]
            tags = desired["tags"]
            made = aws.write("apigatewayv2", "create_api", Name=name, ProtocolType="HTTP", Tags=tags, **settings)
            return _observed(made, ())
        api_id = seen.outputs["id"]
        if desired["CorsConfiguration"]:
            aws.write("apigatewayv2", "update_api", ApiId=api_id, CorsConfiguration=desired["CorsConfiguration"])
        elif seen.fields["CorsConfiguration"]:
            aws.write("apigatewayv2", "delete_cors_configuration", ApiId=api_id)
        _update_tags(aws, step, seen)
        for twin in seen.fields["duplicates"]:
            _delete_api(aws, twin)
        return Observed(desired, seen.outputs)

    def delete(self, aws: AwsClient, target: Target) -> Waiting | None:
        """Delete the API with its routes, integrations and stages, and its twins with theirs."""
        seen = self.observe(aws, [target]).get(target.key)
        if seen is not None:
            for api_id in (*seen.fields["duplicates"], seen.outputs["id"]):
                _delete_api(aws, api_id)
        return None


def _cors_configuration(cors: Cors | None) -> dict[str, Value]:
    if cors is None:
        return {}
    always = {
        "AllowOrigins": list(cors.allow_origins),
        "AllowMethods": list(cors.allow_methods),
        "AllowHeaders": [name.lower() for name in cors.allow_headers],
    }
    reported: dict[str, Value] = {
        "AllowCredentials": cors.allow_credentials,
        "ExposeHeaders": [name.lower() for name in cors.expose_headers],
        "MaxAge": cors.max_age,
    }
    # AWS's defaults needn't be sent.
    return {**always, **{name: value for name, value in reported.items() if value}}


def _find_owned(
    listed: Mapping[tuple[str, str], Sequence[Mapping[str, Any]]], target: Target
) -> Sequence[Mapping[str, Any]]:
    """Return the API that the spec names; or those with our tags, the known one first, then oldest first."""
    if "id" in target.identity:
        return listed.get(("id", target.identity["id"]), ())
    wanted = target.identity["tags"].items()
    known = target.known_outputs.get("id")
    named = listed.get(("name", target.identity["name"]), ())
    found = [api for api in named if api["ApiId"] == known or wanted <= api.get("Tags", {}).items()]
    return sorted(found, key=lambda api: (api["ApiId"] != known, api["CreatedDate"], api["ApiId"]))


def _observed(live: Mapping[str, Any], twins: Sequence[Mapping[str, Any]]) -> Observed:
    fields = {
        "CorsConfiguration": live.get("CorsConfiguration") or {},
        "duplicates": [twin["ApiId"] for twin in twins],
        "tags": live.get("Tags", {}),
    }
    return Observed(fields, {"id": live["ApiId"], "endpoint": live["ApiEndpoint"]})


def _update_tags(aws: AwsClient, step: Step, seen: Observed) -> None:
    arn = f"arn:{aws.partition}:apigateway:{aws.region}::/apis/{seen.outputs['id']}"
    wanted, dropped = step.node.desired["tags"], find_dropped_tags(step.changes)
    if not wanted.items() <= seen.fields["tags"].items():
        aws.write("apigatewayv2", "tag_resource", ResourceArn=arn, Tags=wanted)
    if dropped:
        aws.write("apigatewayv2", "untag_resource", ResourceArn=arn, TagKeys=dropped)


def _delete_api(aws: AwsClient, api_id: str) -> None:
    with contextlib.suppress(MissingError):
        aws.write("apigatewayv2", "delete_api", ApiId=api_id)
