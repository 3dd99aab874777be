"""Stages and deployments of HTTP APIs."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from embedded_aws.call import Answer, Call, Refused
from embedded_aws.gateway.routes import DEFAULT
from embedded_aws.strict.apigatewayv2.records import ApiRecord, Item, Records, check_quota, given, listed

_FIELDS = (
    "AccessLogSettings",
    "AutoDeploy",
    "DefaultRouteSettings",
    "DeploymentId",
    "Description",
    "RouteSettings",
    "StageVariables",
)

# "Stage names can contain only alphanumeric characters, hyphens, and underscores, or be $default. Maximum length is 128 characters."
_NAME = re.compile(r"[A-Za-z0-9_-]{1,128}")


def install(records: Records) -> None:
    """Register the handlers."""
    handlers = _Stages(records)
    records.handle("CreateStage", handlers.create)
    records.handle("GetStage", lambda call: _find(records.api(call), call))
    records.handle("GetStages", lambda call: listed(call, list(records.api(call).stages.values())))
    records.handle("UpdateStage", handlers.update)
    records.handle("DeleteStage", handlers.delete)
    records.handle("CreateDeployment", handlers.deploy)
    records.handle("GetDeployment", lambda call: _deployment(records.api(call), call))
    records.handle("GetDeployments", lambda call: listed(call, list(records.api(call).deployments.values())))
    records.handle("DeleteDeployment", handlers.delete_deployment)


class _Stages:
    def __init__(self, records: Records) -> None:
        self.records = records

    def create(self, call: Call) -> Item:
        record = self.records.api(call)
        name = call.params["StageName"]
        if name != DEFAULT and not _NAME.fullmatch(name):
            raise Refused(
                "BadRequestException",
                f"Stage name only allows alphanumeric characters, hyphens and underscores: {name}",
            )
        if name in record.stages:
            raise Refused("ConflictException", "Stage already exists")
        check_quota(len(record.stages), 10, "Stages for this API")
        now = self.records.world.now()
        defaults = {
            "AutoDeploy": False,
            "CreatedDate": now,
            "DefaultRouteSettings": {"DetailedMetricsEnabled": False},
            "RouteSettings": {},
            "StageName": name,
            "StageVariables": {},
            "Tags": dict(call.params.get("Tags") or {}),
        }
        return self._save(record, defaults, call)

    def update(self, call: Call) -> Item:
        record = self.records.api(call)
        return self._save(record, _find(record, call), call)

    def delete(self, call: Call) -> Answer:
        record = self.records.api(call)
        del record.stages[_find(record, call)["StageName"]]
        self.records.publish(record)
        return Answer(204)

    def deploy(self, call: Call) -> Item:
        """CreateDeployment: a snapshot, put on a stage when one is named.

        Automatic deployment and deployments by hand exclude one another: "Deployment ID cannot be set for stages with auto deploy enabled".
        """
        record = self.records.api(call)
        stage = _find(record, call) if call.params.get("StageName") else None
        if stage and stage["AutoDeploy"]:
            raise Refused("BadRequestException", "Deployment ID cannot be set for stages with auto deploy enabled")
        deployment_id = self.records.deploy(record, call.params.get("Description", ""), automatic=False)
        if stage:
            stage["DeploymentId"] = deployment_id
            self.records.publish(record)
        return record.deployments[deployment_id]

    def delete_deployment(self, call: Call) -> Answer:
        record = self.records.api(call)
        deployment_id = _deployment(record, call)["DeploymentId"]
        users = [name for name, stage in record.stages.items() if stage.get("DeploymentId") == deployment_id]
        if users:
            message = f"Active stages pointing to this deployment must be moved or deleted: {', '.join(users)}"
            raise Refused("BadRequestException", message)
        del record.deployments[deployment_id], record.snapshots[deployment_id]
        return Answer(204)

    def _save(self, record: ApiRecord, old: Item, call: Call) -> Item:
        chosen = given(call, *_FIELDS)
        _check(record, old | chosen, chosen)
        stage = old | chosen | {"LastUpdatedDate": self.records.world.now()}
        # An update of the settings keeps those it doesn't name (PATCH).
        for name in ("DefaultRouteSettings", "RouteSettings", "StageVariables"):
            stage[name] = {**old[name], **chosen.get(name, {})}
        stage["StageVariables"] = {name: value for name, value in stage["StageVariables"].items() if value}
        record.stages[stage["StageName"]] = stage
        if stage["AutoDeploy"] and not old.get("AutoDeploy"):
            self.records.changed(record)
        else:
            self.records.publish(record)
        return stage


def _check(record: ApiRecord, stage: Item, chosen: Item) -> None:
    if "DeploymentId" in chosen:
        if stage["AutoDeploy"]:
            raise Refused("BadRequestException", "Deployment ID cannot be set for stages with auto deploy enabled")
        if chosen["DeploymentId"] not in record.deployments:
            raise Refused("NotFoundException", f"Invalid Deployment identifier specified {chosen['DeploymentId']}")
    keys = {route["RouteKey"] for route in record.routes.values()}
    for key, settings in chosen.get("RouteSettings", {}).items():
        if key not in keys:
            # AWS's own text, as reported in terraform-aws-modules/terraform-aws-apigateway-v2#80.
            raise Refused("NotFoundException", f"Unable to find Route by key {key} within the provided RouteSettings")
        _check_throttle(settings)
    _check_throttle(chosen.get("DefaultRouteSettings", {}))


def _check_throttle(settings: Mapping[str, Any]) -> None:
    if settings.get("ThrottlingBurstLimit", 0) < 0 or settings.get("ThrottlingRateLimit", 0) < 0:
        raise Refused("BadRequestException", "Throttling limits can't be negative")


def _find(record: ApiRecord, call: Call) -> Item:
    name = call.params["StageName"]
    if name not in record.stages:
        raise Refused("NotFoundException", "Invalid stage identifier specified")
    return record.stages[name]


def _deployment(record: ApiRecord, call: Call) -> Item:
    deployment_id = call.params["DeploymentId"]
    if deployment_id not in record.deployments:
        raise Refused("NotFoundException", f"Invalid Deployment identifier specified {deployment_id}")
    return record.deployments[deployment_id]
