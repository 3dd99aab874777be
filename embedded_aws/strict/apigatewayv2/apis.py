"""APIs of API Gateway v2."""

from __future__ import annotations

from typing import Any

from embedded_aws.call import Answer, Call, Refused
from embedded_aws.gateway import cors
from embedded_aws.gateway.plane import PREFIX
from embedded_aws.strict.apigatewayv2.records import ApiRecord, Records, given, listed, new_id

_FIELDS = (
    "ApiKeySelectionExpression",
    "CorsConfiguration",
    "Description",
    "DisableExecuteApiEndpoint",
    "IpAddressType",
    "Name",
    "Version",
)


def install(records: Records) -> None:
    """Register the handlers."""
    handlers = _Apis(records)
    records.handle("CreateApi", handlers.create)
    records.handle("GetApi", lambda call: records.api(call).fields)
    records.handle("GetApis", lambda call: listed(call, [record.fields for record in records.in_region(call.region)]))
    records.handle("UpdateApi", handlers.update)
    records.handle("DeleteApi", handlers.delete)
    records.handle("DeleteCorsConfiguration", handlers.delete_cors)


class _Apis:
    def __init__(self, records: Records) -> None:
        self.records = records

    def create(self, call: Call) -> dict[str, Any]:
        """CreateApi has no client token and names may repeat: the same call twice makes two APIs (API reference)."""
        if call.params.get("ProtocolType") != "HTTP":
            raise Refused("NotImplemented", "The embedded AWS has HTTP APIs only", status=501)
        if call.params.get("Target") or call.params.get("RouteKey"):
            raise Refused(
                "NotImplemented", "The embedded AWS has no quick create: make integration, route and stage", status=501
            )
        chosen = _checked(call)
        api_id = new_id(10)
        fields = {
            "ApiEndpoint": f"{self.records.world.endpoint}{PREFIX}/{api_id}",
            "ApiId": api_id,
            "ApiKeySelectionExpression": "$request.header.x-api-key",
            "CreatedDate": self.records.world.now(),
            "DisableExecuteApiEndpoint": False,
            "IpAddressType": "ipv4",
            "ProtocolType": "HTTP",
            "RouteSelectionExpression": "$request.method $request.path",
            "Tags": dict(call.params.get("Tags") or {}),
        }
        record = ApiRecord(call.region, fields | chosen)
        self.records.apis[call.region, api_id] = record
        self.records.publish(record)
        return record.fields

    def update(self, call: Call) -> dict[str, Any]:
        record = self.records.api(call)
        record.fields |= _checked(call)
        self.records.changed(record)
        return record.fields

    def delete(self, call: Call) -> Answer:
        record = self.records.api(call)
        del self.records.apis[call.region, record.fields["ApiId"]]
        self.records.gateway.withdraw(record.fields["ApiId"])
        return Answer(204)

    def delete_cors(self, call: Call) -> Answer:
        record = self.records.api(call)
        record.fields.pop("CorsConfiguration", None)
        self.records.changed(record)
        return Answer(204)


def _checked(call: Call) -> dict[str, Any]:
    """Return the settings given, or refuse them. Names: 1 to 128 characters (CloudFormation's and the console's limit)."""
    chosen = given(call, *_FIELDS)
    if call.operation == "CreateApi" and not chosen.get("Name"):
        raise Refused("BadRequestException", "Invalid API name specified")
    if len(chosen.get("Name", "")) > 128:
        raise Refused("BadRequestException", "API name must be at most 128 characters")
    try:
        cors.check(chosen.get("CorsConfiguration", {}))
    except cors.CorsError as wrong:
        raise Refused("BadRequestException", str(wrong)) from wrong
    return chosen
