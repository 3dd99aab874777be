"""Integrations of HTTP APIs."""

from __future__ import annotations

from moto.elbv2.models import elbv2_backends
from moto.servicediscovery.models import servicediscovery_backends

from embedded_aws.call import Answer, Call, Refused
from embedded_aws.gateway import parameters
from embedded_aws.gateway.routes import METHODS
from embedded_aws.strict.apigatewayv2.records import (
    ApiRecord,
    Item,
    Records,
    check_quota,
    cloud_map_target,
    given,
    listed,
    new_id,
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


def install(records: Records) -> None:
    """Register the handlers."""
    handlers = _Integrations(records)
    records.handle("CreateIntegration", handlers.create)
    records.handle("GetIntegration", handlers.get)
    records.handle("GetIntegrations", lambda call: listed(call, list(records.api(call).integrations.values())))
    records.handle("UpdateIntegration", handlers.update)
    records.handle("DeleteIntegration", handlers.delete)


class _Integrations:
    def __init__(self, records: Records) -> None:
        self.records = records

    def create(self, call: Call) -> Item:
        record = self.records.api(call)
        check_quota(len(record.integrations), 300, "Integrations for this API")
        # Defaults: API reference, CreateIntegration. PayloadFormatVersion 1.0 is the only one but for Lambda proxies.
        defaults = {
            "ConnectionType": "INTERNET",
            "IntegrationId": new_id(7),
            "PayloadFormatVersion": "1.0",
            "TimeoutInMillis": 30_000,
        }
        item = self._checked(call, defaults | given(call, *_FIELDS))
        record.integrations[item["IntegrationId"]] = item
        self.records.changed(record)
        return item

    def get(self, call: Call) -> Item:
        return _find(self.records.api(call), call)

    def update(self, call: Call) -> Item:
        record = self.records.api(call)
        item = self._checked(call, _find(record, call) | given(call, *_FIELDS))
        record.integrations[item["IntegrationId"]] = item
        self.records.changed(record)
        return item

    def delete(self, call: Call) -> Answer:
        """Refused while a route uses it; the text is AWS's own, as reported in hashicorp/terraform-provider-aws#12195."""
        record = self.records.api(call)
        integration_id = _find(record, call)["IntegrationId"]
        users = [key for key, route in record.routes.items() if route.get("Target") == f"integrations/{integration_id}"]
        if users:
            message = f"Cannot delete Integration because it is referenced by the following Routes with Ids: [{', '.join(users)}]"
            raise Refused("ConflictException", message)
        del record.integrations[integration_id]
        self.records.changed(record)
        return Answer(204)

    def _checked(self, call: Call, item: Item) -> Item:
        """Complete and check an integration; every rule is of the API reference's CreateIntegration. Raises Refused."""
        if item.get("IntegrationType") not in {"AWS_PROXY", "HTTP_PROXY"}:
            raise Refused("BadRequestException", "HTTP APIs take the integration types AWS_PROXY and HTTP_PROXY")
        if not 50 <= item["TimeoutInMillis"] <= 30_000:
            raise Refused("BadRequestException", "Timeout should be between 50 ms and 30000 ms")
        if item["IntegrationType"] == "HTTP_PROXY":
            if item["PayloadFormatVersion"] != "1.0":
                raise Refused("BadRequestException", "Payload format version 1.0 is the only one for HTTP_PROXY")
            if item.get("IntegrationMethod") not in METHODS:
                raise Refused("BadRequestException", "HttpMethod is required for HTTP_PROXY integrations")
        if not item.get("IntegrationUri"):
            raise Refused("BadRequestException", "Integration URI is required")
        if item["ConnectionType"] == "VPC_LINK":
            self._check_private(call.region, item)
        elif item.get("ConnectionId"):
            raise Refused("BadRequestException", "A connection id goes with the connection type VPC_LINK only")
        return item | _mapped(call, item)

    def _check_private(self, region: str, item: Item) -> None:
        """A private integration: its link and its target must exist.

        A link that is still PENDING is accepted, as for REST APIs ("Deploying an API will wait if the status is PENDING and will fail if the
        status is DELETING", API reference, VpcLink); the text about the URI is AWS's own (openabdev/openab#1275).
        """
        link = self.records.links.get((region, item.get("ConnectionId", "")))
        if link is None or link.fields["VpcLinkStatus"] == "DELETING":
            raise Refused("BadRequestException", f"Invalid VpcLink identifier specified {item.get('ConnectionId', '')}")
        if not _target_exists(self.records.world.account, region, item["IntegrationUri"]):
            text = "For VpcLink VPC_LINK, integration uri should be a valid ELB listener ARN or a valid Cloud Map service ARN."
            raise Refused("BadRequestException", text)


def _target_exists(account: str, region: str, uri: str) -> bool:
    if target := cloud_map_target(uri):
        return target[0] in servicediscovery_backends[account][region].services
    if ":elasticloadbalancing:" in uri and ":listener/" in uri:
        balancers = elbv2_backends[account][region].load_balancers.values()
        return any(uri in balancer.listeners for balancer in balancers)
    return False


def _mapped(call: Call, item: Item) -> Item:
    """Merge mappings into the integration's own.

    Source: "Transform API requests and responses for HTTP APIs", "Remove configured parameter mappings": an empty value removes a mapping.
    """
    requests = {**item.get("RequestParameters", {}), **call.params.get("RequestParameters", {})}
    responses = {**item.get("ResponseParameters", {}), **call.params.get("ResponseParameters", {})}
    merged = {
        "RequestParameters": {key: value for key, value in requests.items() if value or key.startswith("remove:")},
        "ResponseParameters": {status: changes for status, changes in responses.items() if changes},
    }
    try:
        parameters.check_request(merged["RequestParameters"])
        parameters.check_response(merged["ResponseParameters"])
    except parameters.MappingError as wrong:
        raise Refused("BadRequestException", str(wrong)) from wrong
    for name, value in merged.items():
        if not value:
            item.pop(name, None)
    return {name: value for name, value in merged.items() if value}


def _find(record: ApiRecord, call: Call) -> Item:
    integration_id = call.params["IntegrationId"]
    if integration_id not in record.integrations:
        raise Refused("NotFoundException", f"Invalid Integration identifier specified {integration_id}")
    return record.integrations[integration_id]
