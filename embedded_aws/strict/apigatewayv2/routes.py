"""Routes of HTTP APIs."""

from __future__ import annotations

from embedded_aws.call import Answer, Call, Refused
from embedded_aws.gateway.routes import RouteKeyError, parse
from embedded_aws.strict.apigatewayv2.records import ApiRecord, Item, Records, check_quota, given, listed, new_id

_FIELDS = ("ApiKeyRequired", "AuthorizationScopes", "AuthorizationType", "OperationName", "RouteKey", "Target")


def install(records: Records) -> None:
    """Register the handlers."""
    handlers = _Routes(records)
    records.handle("CreateRoute", handlers.create)
    records.handle("GetRoute", lambda call: _find(records.api(call), call))
    records.handle("GetRoutes", lambda call: listed(call, list(records.api(call).routes.values())))
    records.handle("UpdateRoute", handlers.update)
    records.handle("DeleteRoute", handlers.delete)


class _Routes:
    def __init__(self, records: Records) -> None:
        self.records = records

    def create(self, call: Call) -> Item:
        record = self.records.api(call)
        check_quota(len(record.routes), 300, "Routes for this API")
        defaults = {"ApiKeyRequired": False, "AuthorizationType": "NONE", "RouteId": new_id(7)}
        return self._save(record, defaults | given(call, *_FIELDS))

    def update(self, call: Call) -> Item:
        record = self.records.api(call)
        return self._save(record, _find(record, call) | given(call, *_FIELDS))

    def delete(self, call: Call) -> Answer:
        record = self.records.api(call)
        del record.routes[_find(record, call)["RouteId"]]
        self.records.changed(record)
        return Answer(204)

    def _save(self, record: ApiRecord, item: Item) -> Item:
        _check(record, item)
        record.routes[item["RouteId"]] = item
        self.records.changed(record)
        return item


def _check(record: ApiRecord, item: Item) -> None:
    """Refuse a malformed key, a key that is taken (409 is CreateRoute's documented conflict), and a target that isn't there."""
    try:
        key = parse(item["RouteKey"])
    except RouteKeyError as wrong:
        raise Refused("BadRequestException", str(wrong)) from wrong
    taken = {route["RouteKey"] for route in record.routes.values() if route["RouteId"] != item["RouteId"]}
    if key.text in taken:
        raise Refused("ConflictException", f"Route with key {key.text} already exists for this API")
    if item["AuthorizationType"] not in {"NONE", "AWS_IAM"}:
        raise Refused("NotImplemented", "The embedded AWS has no authorizers", status=501)
    if item["ApiKeyRequired"]:
        raise Refused("BadRequestException", "API keys are supported for WebSocket APIs only")
    target = item.get("Target", "")
    if target and target.removeprefix("integrations/") not in record.integrations:
        raise Refused("NotFoundException", f"Invalid Integration identifier specified {target}")


def _find(record: ApiRecord, call: Call) -> Item:
    route_id = call.params["RouteId"]
    if route_id not in record.routes:
        raise Refused("NotFoundException", f"Invalid Route identifier specified {route_id}")
    return record.routes[route_id]
