"""APIs of API Gateway v2."""

from __future__ import annotations

from typing import Any

from embedded_aws.api_call import ApiCall, ApiError, ApiResponse
from embedded_aws.gateway import cors
from embedded_aws.gateway.data_plane import PREFIX
from embedded_aws.strict.apigatewayv2.state import (
    ApiGatewayState,
    HttpApiState,
    generate_id,
    given_parameters,
    list_page,
)

_FIELDS = (
    "ApiKeySelectionExpression",
    "CorsConfiguration",
    "Description",
    "DisableExecuteApiEndpoint",
    "IpAddressType",
    "Name",
    "Version",
)


def install(state: ApiGatewayState) -> None:
    """Register the handlers."""
    handlers = _ApiHandlers(state)
    state.register_handler("CreateApi", handlers.create)
    state.register_handler("GetApi", lambda call: state.get_api(call).fields)
    state.register_handler(
        "GetApis", lambda call: list_page(call, [record.fields for record in state.list_apis(call.region)])
    )
    state.register_handler("UpdateApi", handlers.update)
    state.register_handler("DeleteApi", handlers.delete)
    state.register_handler("DeleteCorsConfiguration", handlers.delete_cors)


class _ApiHandlers:
    def __init__(self, state: ApiGatewayState) -> None:
        self.state = state

    def create(self, call: ApiCall) -> dict[str, Any]:
        """Create an API.

        CreateApi has no client token and names may repeat, so the same call twice creates two APIs (API reference).
        """
        if call.params.get("ProtocolType") != "HTTP":
            raise ApiError("NotImplemented", "The embedded AWS has HTTP APIs only", status=501)
        if call.params.get("Target") or call.params.get("RouteKey"):
            raise ApiError(
                "NotImplemented", "The embedded AWS has no quick create: make integration, route and stage", status=501
            )
        chosen = _validate_settings(call)
        api_id = generate_id(10)
        fields = {
            "ApiEndpoint": f"{self.state.emulator.endpoint}{PREFIX}/{api_id}",
            "ApiId": api_id,
            "ApiKeySelectionExpression": "$request.header.x-api-key",
            "CreatedDate": self.state.emulator.now(),
            "DisableExecuteApiEndpoint": False,
            "IpAddressType": "ipv4",
            "ProtocolType": "HTTP",
            "RouteSelectionExpression": "$request.method $request.path",
            "Tags": dict(call.params.get("Tags") or {}),
        }
        record = HttpApiState(call.region, fields | chosen)
        self.state.apis[call.region, api_id] = record
        self.state.publish_api(record)
        return record.fields

    def update(self, call: ApiCall) -> dict[str, Any]:
        record = self.state.get_api(call)
        record.fields |= _validate_settings(call)
        self.state.release_change(record)
        return record.fields

    def delete(self, call: ApiCall) -> ApiResponse:
        record = self.state.get_api(call)
        del self.state.apis[call.region, record.fields["ApiId"]]
        self.state.data_plane.withdraw(record.fields["ApiId"])
        return ApiResponse(204)

    def delete_cors(self, call: ApiCall) -> ApiResponse:
        record = self.state.get_api(call)
        record.fields.pop("CorsConfiguration", None)
        self.state.release_change(record)
        return ApiResponse(204)


def _validate_settings(call: ApiCall) -> dict[str, Any]:
    """Return the given settings. Raises ApiError when one is invalid.

    Names: 1 to 128 characters (CloudFormation's and the console's limit).
    """
    chosen = given_parameters(call, *_FIELDS)
    if call.operation == "CreateApi" and not chosen.get("Name"):
        raise ApiError("BadRequestException", "Invalid API name specified")
    if len(chosen.get("Name", "")) > 128:
        raise ApiError("BadRequestException", "API name must be at most 128 characters")
    try:
        cors.check_configuration(chosen.get("CorsConfiguration", {}))
    except cors.CorsError as error:
        raise ApiError("BadRequestException", str(error)) from error
    return chosen
