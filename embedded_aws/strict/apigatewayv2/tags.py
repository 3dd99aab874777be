"""Tags of APIs, stages and VPC links.

Routes, integrations and deployments can't be tagged ("Tag API Gateway resources").
"""

from __future__ import annotations

from typing import Any

from embedded_aws.api_call import ApiCall, ApiError, ApiResponse
from embedded_aws.strict.apigatewayv2.state import ApiGatewayState, OutputShape


def install(state: ApiGatewayState) -> None:
    """Register the handlers."""
    handlers = _TagHandlers(state)
    state.register_handler("GetTags", lambda call: {"Tags": handlers.get_resource(call)["Tags"]})
    state.register_handler("TagResource", handlers.add)
    state.register_handler("UntagResource", handlers.remove)


class _TagHandlers:
    def __init__(self, state: ApiGatewayState) -> None:
        self.state = state

    def get_resource(self, call: ApiCall) -> OutputShape:
        """Return the resource of an ARN.

        Forms: `arn:aws:apigateway:REGION::/apis/ID`, `…/apis/ID/stages/NAME` and `…/vpclinks/ID`. Raises ApiError.
        """
        arn = call.params["ResourceArn"]
        region, _, path = arn.removeprefix("arn:aws:apigateway:").partition("::/")
        match path.split("/"):
            case ["apis", api_id]:
                record = self.state.apis.get((region, api_id))
                resource = record.fields if record else None
            case ["apis", api_id, "stages", name]:
                record = self.state.apis.get((region, api_id))
                resource = record.stages.get(name) if record else None
            case ["vpclinks", link_id]:
                link = self.state.links.get((region, link_id))
                resource = link.fields if link else None
            case _:
                raise ApiError("BadRequestException", f"Invalid resource arn: {arn}")
        if resource is None:
            raise ApiError("NotFoundException", f"Invalid resource identifier specified {arn}")
        return resource

    def add(self, call: ApiCall) -> dict[str, Any]:
        """Add tags: at most 50 per resource, and none of AWS's own keys (API Gateway, "Tag restrictions")."""
        resource, tags = self.get_resource(call), call.params.get("Tags") or {}
        if any(key.startswith("aws:") for key in tags):
            raise ApiError("BadRequestException", "Tag keys can't start with aws:")
        merged = {**resource["Tags"], **tags}
        if len(merged) > 50:
            raise ApiError("BadRequestException", "A resource can have 50 tags at most")
        resource["Tags"] = merged
        return {}

    def remove(self, call: ApiCall) -> ApiResponse:
        resource = self.get_resource(call)
        resource["Tags"] = {
            key: value for key, value in resource["Tags"].items() if key not in call.params.get("TagKeys", [])
        }
        return ApiResponse(204)
