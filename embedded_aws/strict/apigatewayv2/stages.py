"""Stages and deployments of HTTP APIs."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from embedded_aws.api_call import ApiCall, ApiError, ApiResponse
from embedded_aws.gateway.route_selection import DEFAULT_ROUTE
from embedded_aws.strict.apigatewayv2.state import (
    ApiGatewayState,
    HttpApiState,
    OutputShape,
    check_quota,
    given_parameters,
    list_page,
)

_FIELDS = (
    "AccessLogSettings",
    "AutoDeploy",
    "DefaultRouteSettings",
    "DeploymentId",
    "Description",
    "RouteSettings",
    "StageVariables",
)

# "Stage names can contain only alphanumeric characters, hyphens, and underscores, or be $default. Maximum length is 128
# characters."
_NAME = re.compile(r"[A-Za-z0-9_-]{1,128}")


def install(state: ApiGatewayState) -> None:
    """Register the handlers."""
    handlers = _StageHandlers(state)
    state.register_handler("CreateStage", handlers.create)
    state.register_handler("GetStage", lambda call: _get_stage(state.get_api(call), call))
    state.register_handler("GetStages", lambda call: list_page(call, list(state.get_api(call).stages.values())))
    state.register_handler("UpdateStage", handlers.update)
    state.register_handler("DeleteStage", handlers.delete)
    state.register_handler("CreateDeployment", handlers.deploy)
    state.register_handler("GetDeployment", lambda call: _get_deployment(state.get_api(call), call))
    state.register_handler(
        "GetDeployments", lambda call: list_page(call, list(state.get_api(call).deployments.values()))
    )
    state.register_handler("DeleteDeployment", handlers.delete_deployment)


class _StageHandlers:
    def __init__(self, state: ApiGatewayState) -> None:
        self.state = state

    def create(self, call: ApiCall) -> OutputShape:
        record = self.state.get_api(call)
        name = call.params["StageName"]
        if name != DEFAULT_ROUTE and not _NAME.fullmatch(name):
            raise ApiError(
                "BadRequestException",
                f"Stage name only allows alphanumeric characters, hyphens and underscores: {name}",
            )
        if name in record.stages:
            raise ApiError("ConflictException", "Stage already exists")
        check_quota(len(record.stages), 10, "Stages for this API")
        now = self.state.emulator.now()
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

    def update(self, call: ApiCall) -> OutputShape:
        record = self.state.get_api(call)
        return self._save(record, _get_stage(record, call), call)

    def delete(self, call: ApiCall) -> ApiResponse:
        record = self.state.get_api(call)
        del record.stages[_get_stage(record, call)["StageName"]]
        self.state.publish_api(record)
        return ApiResponse(204)

    def deploy(self, call: ApiCall) -> OutputShape:
        """Create a deployment: a snapshot, which is put on a stage when the call names one.

        Automatic and manual deployments exclude one another: "Deployment ID cannot be set for stages with auto deploy
        enabled".
        """
        record = self.state.get_api(call)
        stage = _get_stage(record, call) if call.params.get("StageName") else None
        if stage and stage["AutoDeploy"]:
            raise ApiError("BadRequestException", "Deployment ID cannot be set for stages with auto deploy enabled")
        deployment_id = self.state.create_deployment(record, call.params.get("Description", ""), automatic=False)
        if stage:
            stage["DeploymentId"] = deployment_id
            self.state.publish_api(record)
        return record.deployments[deployment_id]

    def delete_deployment(self, call: ApiCall) -> ApiResponse:
        record = self.state.get_api(call)
        deployment_id = _get_deployment(record, call)["DeploymentId"]
        users = [name for name, stage in record.stages.items() if stage.get("DeploymentId") == deployment_id]
        if users:
            message = f"Active stages pointing to this deployment must be moved or deleted: {', '.join(users)}"
            raise ApiError("BadRequestException", message)
        del record.deployments[deployment_id], record.snapshots[deployment_id]
        return ApiResponse(204)

    def _save(self, record: HttpApiState, old: OutputShape, call: ApiCall) -> OutputShape:
        chosen = given_parameters(call, *_FIELDS)
        _validate_stage(record, old | chosen, chosen)
        stage = old | chosen | {"LastUpdatedDate": self.state.emulator.now()}
        # An update keeps the settings that it doesn't name (PATCH).
        for name in ("DefaultRouteSettings", "RouteSettings", "StageVariables"):
            stage[name] = {**old[name], **chosen.get(name, {})}
        stage["StageVariables"] = {name: value for name, value in stage["StageVariables"].items() if value}
        record.stages[stage["StageName"]] = stage
        if stage["AutoDeploy"] and not old.get("AutoDeploy"):
            self.state.release_change(record)
        else:
            self.state.publish_api(record)
        return stage


def _validate_stage(record: HttpApiState, stage: OutputShape, chosen: OutputShape) -> None:
    if "DeploymentId" in chosen:
        if stage["AutoDeploy"]:
            raise ApiError("BadRequestException", "Deployment ID cannot be set for stages with auto deploy enabled")
        if chosen["DeploymentId"] not in record.deployments:
            raise ApiError("NotFoundException", f"Invalid Deployment identifier specified {chosen['DeploymentId']}")
    keys = {route["RouteKey"] for route in record.routes.values()}
    for key, settings in chosen.get("RouteSettings", {}).items():
        if key not in keys:
            # The message is AWS's own, as reported in terraform-aws-modules/terraform-aws-apigateway-v2#80.
            raise ApiError("NotFoundException", f"Unable to find Route by key {key} within the provided RouteSettings")
        _check_throttle(settings)
    _check_throttle(chosen.get("DefaultRouteSettings", {}))


def _check_throttle(settings: Mapping[str, Any]) -> None:
    if settings.get("ThrottlingBurstLimit", 0) < 0 or settings.get("ThrottlingRateLimit", 0) < 0:
        raise ApiError("BadRequestException", "Throttling limits can't be negative")


def _get_stage(record: HttpApiState, call: ApiCall) -> OutputShape:
    name = call.params["StageName"]
    if name not in record.stages:
        raise ApiError("NotFoundException", "Invalid stage identifier specified")
    return record.stages[name]


def _get_deployment(record: HttpApiState, call: ApiCall) -> OutputShape:
    deployment_id = call.params["DeploymentId"]
    if deployment_id not in record.deployments:
        raise ApiError("NotFoundException", f"Invalid Deployment identifier specified {deployment_id}")
    return record.deployments[deployment_id]
