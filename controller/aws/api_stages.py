"""What a stage of an HTTP API tells of the whole API: every change of its routes and integrations is deployed to it at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from controller.aws.aws_client import AwsClient
from controller.errors import MissingError


def list_stages(aws: AwsClient, api_id: str) -> Sequence[Mapping[str, Any]]:
    """The stages of an API; none where there is no such API."""
    try:
        return aws.list_items("apigatewayv2", "get_stages", "Items", ApiId=api_id)
    except MissingError:
        return ()


def api_change_token(aws: AwsClient, api_id: str) -> str:
    """Another text after each change of the API's routes and integrations; nothing where no stage tells.

    A stage with automatic deployment gets a deployment of its own for each change, and any change of the stage itself
    shows in its date: https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-stages.html
    """
    telling = [stage for stage in list_stages(aws, api_id) if stage.get("AutoDeploy") and _is_deployed(stage)]
    return " ".join(f"{stage['StageName']} {stage['DeploymentId']} {stage['LastUpdatedDate']}" for stage in telling)


def _is_deployed(stage: Mapping[str, Any]) -> bool:
    """Whether its last deployment has what the API is configured to be."""
    return bool(stage.get("DeploymentId")) and "fail" not in stage.get("LastDeploymentStatusMessage", "").lower()
