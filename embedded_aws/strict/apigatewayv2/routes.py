"""Routes of HTTP APIs."""

from __future__ import annotations

from embedded_aws.api_call import ApiCall, ApiError, ApiResponse
from embedded_aws.gateway.route_selection import RouteKeyError, parse_route_key
from embedded_aws.strict.apigatewayv2.state import (
    ApiGatewayState,
    HttpApiState,
    OutputShape,
    check_quota,
    generate_id,
    given_parameters,
    list_page,
)

_FIELDS = ("ApiKeyRequired", "AuthorizationScopes", "AuthorizationType", "OperationName", "RouteKey", "Target")


def install(state: ApiGatewayState) -> None:
    """Register the handlers."""
    handlers = _RouteHandlers(state)
    state.register_handler("CreateRoute", handlers.create)
    state.register_handler("GetRoute", lambda call: _get_route(state.get_api(call), call))
    state.register_handler("GetRoutes", lambda call: list_page(call, list(state.get_api(call).routes.values())))
    state.register_handler("UpdateRoute", handlers.update)
    state.register_handler("DeleteRoute", handlers.delete)


class _RouteHandlers:
    def __init__(self, state: ApiGatewayState) -> None:
        self.state = state

    def create(self, call: ApiCall) -> OutputShape:
        record = self.state.get_api(call)
        check_quota(len(record.routes), 300, "Routes for this API")
        defaults = {"ApiKeyRequired": False, "AuthorizationType": "NONE", "RouteId": generate_id(7)}
        return self._save(record, defaults | given_parameters(call, *_FIELDS))

    def update(self, call: ApiCall) -> OutputShape:
        record = self.state.get_api(call)
        return self._save(record, _get_route(record, call) | given_parameters(call, *_FIELDS))

    def delete(self, call: ApiCall) -> ApiResponse:
        record = self.state.get_api(call)
        del record.routes[_get_route(record, call)["RouteId"]]
        self.state.release_change(record)
        return ApiResponse(204)

    def _save(self, record: HttpApiState, item: OutputShape) -> OutputShape:
        _validate_route(record, item)
        record.routes[item["RouteId"]] = item
        self.state.release_change(record)
        return item


def _validate_route(record: HttpApiState, item: OutputShape) -> None:
    """Raise ApiError for a malformed key, a used key (409, as in CreateRoute), or a target that doesn't exist."""
    try:
        key = parse_route_key(item["RouteKey"])
    except RouteKeyError as error:
        raise ApiError("BadRequestException", str(error)) from error
    taken = {route["RouteKey"] for route in record.routes.values() if route["RouteId"] != item["RouteId"]}
    if key.text in taken:
        raise ApiError("ConflictException", f"Route with key {key.text} already exists for this API")
    if item["AuthorizationType"] not in {"NONE", "AWS_IAM"}:
        raise ApiError("NotImplemented", "The embedded AWS has no authorizers", status=501)
    if item["ApiKeyRequired"]:
        raise ApiError("BadRequestException", "API keys are supported for WebSocket APIs only")
    target = item.get("Target", "")
    if target and target.removeprefix("integrations/") not in record.integrations:
        raise ApiError("NotFoundException", f"Invalid Integration identifier specified {target}")


def _get_route(record: HttpApiState, call: ApiCall) -> OutputShape:
    route_id = call.params["RouteId"]
    if route_id not in record.routes:
        raise ApiError("NotFoundException", f"Invalid Route identifier specified {route_id}")
    return record.routes[route_id]
