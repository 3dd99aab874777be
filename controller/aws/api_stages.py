"""The stages of an HTTP API, which show its changes: its routes and integrations are deployed to them at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from controller.aws.aws_client import AwsClient
from controller.errors import MissingError


def list_stages(aws: AwsClient, api_id: str) -> Sequence[Mapping[str, Any]]:
    """Return the stages of an API; none if the API doesn't exist."""
    try:
        return aws.list_items("apigatewayv2", "get_stages", "Items", ApiId=api_id)
    except MissingError:
        return ()


def api_change_token(aws: AwsClient, api_id: str) -> str:
    """Return a token that differs after each change of the API's routes and integrations; empty if no stage shows them.

    A stage with automatic deployment gets a deployment for each change, and a change of the stage itself shows in its
    date: https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-stages.html
    """
    telling = [stage for stage in list_stages(aws, api_id) if stage.get("AutoDeploy") and _is_deployed(stage)]
    return " ".join(f"{stage['StageName']} {stage['DeploymentId']} {stage['LastUpdatedDate']}" for stage in telling)


def _is_deployed(stage: Mapping[str, Any]) -> bool:
    """Return whether the stage's last deployment contains the API's present configuration."""
    return bool(stage.get("DeploymentId")) and "fail" not in stage.get("LastDeploymentStatusMessage", "").lower()
