"""What a stage of an HTTP API tells of the whole API: every change of its routes and integrations is deployed to it at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from controller.aws.door import Aws
from controller.errors import MissingError


def stages(aws: Aws, api: str) -> Sequence[Mapping[str, Any]]:
    """The stages of an API; none where there is no such API."""
    try:
        return aws.listed("apigatewayv2", "get_stages", "Items", ApiId=api)
    except MissingError:
        return ()


def mark_of(aws: Aws, api: str) -> str:
    """Another text after each change of the API's routes and integrations; nothing where no stage tells.

    A stage with automatic deployment gets a deployment of its own for each change, and any change of the stage itself
    shows in its date: https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-stages.html
    """
    telling = [stage for stage in stages(aws, api) if stage.get("AutoDeploy") and _went_well(stage)]
    return " ".join(f"{stage['StageName']} {stage['DeploymentId']} {stage['LastUpdatedDate']}" for stage in telling)


def _went_well(stage: Mapping[str, Any]) -> bool:
    """Whether its last deployment has what the API is configured to be."""
    return bool(stage.get("DeploymentId")) and "fail" not in stage.get("LastDeploymentStatusMessage", "").lower()
