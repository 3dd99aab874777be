"""API Gateway v2, as strict as the real one, over a data plane that really routes. HTTP APIs only.

    records.py       what exists, and how a change reaches the data plane
    apis.py          APIs
    integrations.py  integrations
    routes.py        routes
    stages.py        stages and deployments
    vpc_links.py     VPC links
    tags.py          tags of all of them

moto's own backend is not used: it keeps duplicates, bogus targets and dangling references, and has no UpdateStage and no
deployments. Everything is a dictionary in botocore's output shape. Authorizers, models and custom domain names are absent.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from embedded_aws.gateway import Gateway
from embedded_aws.gateway.plane import PREFIX
from embedded_aws.strict.apigatewayv2 import apis, integrations, routes, stages, tags, vpc_links
from embedded_aws.strict.apigatewayv2.records import Records
from embedded_aws.strict.servicediscovery.instances import healthy

if TYPE_CHECKING:
    from embedded_aws.call import Answer, Call
    from embedded_aws.world import World

# What moto has for APIs that it doesn't know: better refused than answered wrongly.
_ABSENT = (
    *("CreateApiMapping", "CreateAuthorizer", "CreateIntegrationResponse", "CreateModel", "CreateRouteResponse"),
    *("DeleteRouteRequestParameter", "ImportApi", "ReimportApi"),
)


def install(world: World) -> None:
    """Register the control plane's handlers and the data plane's route."""
    records = Records(world)
    gateway = Gateway(
        discover=lambda region, service, attributes: healthy(world.account, region, service, attributes),
        link_ready=records.link_ready,
    )
    records.gateway = gateway
    world.route(PREFIX + "/{api_id}{path:(/.*)?}", gateway.answer)
    world.context(gateway.connections)
    world.on_reset(records.clear)
    for part in (apis, integrations, routes, stages, vpc_links, tags):
        part.install(records)
    for operation in _ABSENT:
        records.handle(operation, _absent)


def _absent(call: Call) -> Answer:
    return call.error("NotImplemented", f"The embedded AWS doesn't have {call.name}", 501)
