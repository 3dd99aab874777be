"""Integrations of HTTP APIs."""

from __future__ import annotations

from moto.elbv2.models import elbv2_backends
from moto.servicediscovery.models import servicediscovery_backends

from embedded_aws.api_call import ApiCall, ApiError, ApiResponse
from embedded_aws.gateway import parameter_mapping
from embedded_aws.gateway.route_selection import METHODS
from embedded_aws.strict.apigatewayv2.state import (
    ApiGatewayState,
    HttpApiState,
    OutputShape,
    check_quota,
    generate_id,
    given_parameters,
    list_page,
    parse_cloud_map_uri,
)

_FIELDS = (
    "ConnectionId",
    "ConnectionType",
    "CredentialsArn",
    "Description",
    "IntegrationMethod",
    "IntegrationSubtype",
    "IntegrationType",
    "IntegrationUri",
    "PayloadFormatVersion",
    "TimeoutInMillis",
    "TlsConfig",
)


def install(state: ApiGatewayState) -> None:
    """Register the handlers."""
    handlers = _IntegrationHandlers(state)
    state.register_handler("CreateIntegration", handlers.create)
    state.register_handler("GetIntegration", handlers.get)
    state.register_handler(
        "GetIntegrations", lambda call: list_page(call, list(state.get_api(call).integrations.values()))
    )
    state.register_handler("UpdateIntegration", handlers.update)
    state.register_handler("DeleteIntegration", handlers.delete)


class _IntegrationHandlers:
    def __init__(self, state: ApiGatewayState) -> None:
        self.state = state

    def create(self, call: ApiCall) -> OutputShape:
        record = self.state.get_api(call)
        check_quota(len(record.integrations), 300, "Integrations for this API")
        # Defaults: API reference, CreateIntegration. PayloadFormatVersion 1.0 is the only one except for Lambda
        # proxies.
        defaults = {
            "ConnectionType": "INTERNET",
            "IntegrationId": generate_id(7),
            "PayloadFormatVersion": "1.0",
            "TimeoutInMillis": 30_000,
        }
        item = self._validate(call, defaults | given_parameters(call, *_FIELDS))
        record.integrations[item["IntegrationId"]] = item
        self.state.release_change(record)
        return item

    def get(self, call: ApiCall) -> OutputShape:
        return _get_integration(self.state.get_api(call), call)

    def update(self, call: ApiCall) -> OutputShape:
        record = self.state.get_api(call)
        item = self._validate(call, _get_integration(record, call) | given_parameters(call, *_FIELDS))
        record.integrations[item["IntegrationId"]] = item
        self.state.release_change(record)
        return item

    def delete(self, call: ApiCall) -> ApiResponse:
        """Delete an integration. Raises ApiError while a route uses it.

        The message is AWS's own, as reported in hashicorp/terraform-provider-aws#12195.
        """
        record = self.state.get_api(call)
        integration_id = _get_integration(record, call)["IntegrationId"]
        users = [key for key, route in record.routes.items() if route.get("Target") == f"integrations/{integration_id}"]
        if users:
            routes = ", ".join(users)
            message = f"Cannot delete Integration because it is referenced by the following Routes with Ids: [{routes}]"
            raise ApiError("ConflictException", message)
        del record.integrations[integration_id]
        self.state.release_change(record)
        return ApiResponse(204)

    def _validate(self, call: ApiCall, item: OutputShape) -> OutputShape:
        """Complete and check an integration. Raises ApiError.

        Every rule is from the API reference, CreateIntegration.
        """
        if item.get("IntegrationType") not in {"AWS_PROXY", "HTTP_PROXY"}:
            raise ApiError("BadRequestException", "HTTP APIs take the integration types AWS_PROXY and HTTP_PROXY")
        if not 50 <= item["TimeoutInMillis"] <= 30_000:
            raise ApiError("BadRequestException", "Timeout should be between 50 ms and 30000 ms")
        if item["IntegrationType"] == "HTTP_PROXY":
            if item["PayloadFormatVersion"] != "1.0":
                raise ApiError("BadRequestException", "Payload format version 1.0 is the only one for HTTP_PROXY")
            if item.get("IntegrationMethod") not in METHODS:
                raise ApiError("BadRequestException", "HttpMethod is required for HTTP_PROXY integrations")
        if not item.get("IntegrationUri"):
            raise ApiError("BadRequestException", "Integration URI is required")
        if item["ConnectionType"] == "VPC_LINK":
            self._validate_private(call.region, item)
        elif item.get("ConnectionId"):
            raise ApiError("BadRequestException", "A connection id goes with the connection type VPC_LINK only")
        return item | _merge_mappings(call, item)

    def _validate_private(self, region: str, item: OutputShape) -> None:
        """Check a private integration: its link and its target must exist.

        A link that is still PENDING is accepted, as for REST APIs ("Deploying an API will wait if the status is PENDING
        and will fail if the status is DELETING", API reference, VpcLink). The message about the URI is AWS's own
        (openabdev/openab#1275).
        """
        link = self.state.links.get((region, item.get("ConnectionId", "")))
        if link is None or link.fields["VpcLinkStatus"] == "DELETING":
            raise ApiError(
                "BadRequestException", f"Invalid VpcLink identifier specified {item.get('ConnectionId', '')}"
            )
        if not _target_exists(self.state.emulator.account, region, item["IntegrationUri"]):
            text = (
                "For VpcLink VPC_LINK, integration uri should be a valid ELB listener ARN"
                " or a valid Cloud Map service ARN."
            )
            raise ApiError("BadRequestException", text)


def _target_exists(account: str, region: str, uri: str) -> bool:
    if target := parse_cloud_map_uri(uri):
        return target[0] in servicediscovery_backends[account][region].services
    if ":elasticloadbalancing:" in uri and ":listener/" in uri:
        balancers = elbv2_backends[account][region].load_balancers.values()
        return any(uri in balancer.listeners for balancer in balancers)
    return False


def _merge_mappings(call: ApiCall, item: OutputShape) -> OutputShape:
    """Merge the given mappings into the integration's own.

    An empty value removes a mapping. Source: "Transform API requests and responses for HTTP APIs", "Remove configured
    parameter mappings".
    """
    requests = {**item.get("RequestParameters", {}), **call.params.get("RequestParameters", {})}
    responses = {**item.get("ResponseParameters", {}), **call.params.get("ResponseParameters", {})}
    merged = {
        "RequestParameters": {key: value for key, value in requests.items() if value or key.startswith("remove:")},
        "ResponseParameters": {status: changes for status, changes in responses.items() if changes},
    }
    try:
        parameter_mapping.check_request_mapping(merged["RequestParameters"])
        parameter_mapping.check_response_mapping(merged["ResponseParameters"])
    except parameter_mapping.MappingError as error:
        raise ApiError("BadRequestException", str(error)) from error
    for name, value in merged.items():
        if not value:
            item.pop(name, None)
    return {name: value for name, value in merged.items() if value}


def _get_integration(record: HttpApiState, call: ApiCall) -> OutputShape:
    integration_id = call.params["IntegrationId"]
    if integration_id not in record.integrations:
        raise ApiError("NotFoundException", f"Invalid Integration identifier specified {integration_id}")
    return record.integrations[integration_id]
