"""API Gateway v2 with AWS's rules, over a data plane that routes real requests. HTTP APIs only.

    state.py         the state, and how a change reaches the data plane
    apis.py          APIs
    integrations.py  integrations
    routes.py        routes
    stages.py        stages and deployments
    vpc_links.py     VPC links
    tags.py          tags of all of them

moto's own backend is not used. It keeps duplicates, bogus targets and dangling references, and has no UpdateStage and
no deployments. Resources are dictionaries in botocore's output shape. Authorizers, models and custom domain names are
not supported.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from embedded_aws.gateway import HttpApiDataPlane
from embedded_aws.gateway.data_plane import PREFIX
from embedded_aws.strict.apigatewayv2 import apis, integrations, routes, stages, tags, vpc_links
from embedded_aws.strict.apigatewayv2.state import ApiGatewayState
from embedded_aws.strict.servicediscovery.instances import list_healthy_instances

if TYPE_CHECKING:
    from embedded_aws.api_call import ApiCall, ApiResponse
    from embedded_aws.emulator import Emulator

# moto would answer these from its own backend, which doesn't know these APIs. An error is better than a wrong answer.
_NOT_IMPLEMENTED = (
    *("CreateApiMapping", "CreateAuthorizer", "CreateIntegrationResponse", "CreateModel", "CreateRouteResponse"),
    *("DeleteRouteRequestParameter", "ImportApi", "ReimportApi"),
)


def install(emulator: Emulator) -> None:
    """Register the control plane's handlers and the data plane's route."""
    state = ApiGatewayState(emulator)
    gateway = HttpApiDataPlane(
        discover=lambda region, service, attributes: list_healthy_instances(
            emulator.account, region, service, attributes
        ),
        is_link_available=state.is_link_available,
    )
    state.data_plane = gateway
    emulator.add_route(PREFIX + "/{api_id}{path:(/.*)?}", gateway.handle_request)
    emulator.add_context(gateway.keep_connections)
    emulator.on_reset(state.clear)
    for part in (apis, integrations, routes, stages, vpc_links, tags):
        part.install(state)
    for operation in _NOT_IMPLEMENTED:
        state.register_handler(operation, _refuse_not_implemented)


def _refuse_not_implemented(call: ApiCall) -> ApiResponse:
    return call.build_error("NotImplemented", f"The embedded AWS doesn't have {call.name}", 501)
