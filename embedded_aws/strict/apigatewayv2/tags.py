"""Tags of APIs, stages and VPC links. Routes, integrations and deployments can't be tagged ("Tag API Gateway resources")."""

from __future__ import annotations

from typing import Any

from embedded_aws.call import Answer, Call, Refused
from embedded_aws.strict.apigatewayv2.records import Item, Records


def install(records: Records) -> None:
    """Register the handlers."""
    handlers = _Tags(records)
    records.handle("GetTags", lambda call: {"Tags": handlers.find(call)["Tags"]})
    records.handle("TagResource", handlers.add)
    records.handle("UntagResource", handlers.remove)


class _Tags:
    def __init__(self, records: Records) -> None:
        self.records = records

    def find(self, call: Call) -> Item:
        """Return what an ARN names: `arn:aws:apigateway:REGION::/apis/ID`, `…/apis/ID/stages/NAME` or `…/vpclinks/ID`. Raises Refused."""
        arn = call.params["ResourceArn"]
        region, _, path = arn.removeprefix("arn:aws:apigateway:").partition("::/")
        match path.split("/"):
            case ["apis", api_id]:
                record = self.records.apis.get((region, api_id))
                found = record.fields if record else None
            case ["apis", api_id, "stages", name]:
                record = self.records.apis.get((region, api_id))
                found = record.stages.get(name) if record else None
            case ["vpclinks", link_id]:
                link = self.records.links.get((region, link_id))
                found = link.fields if link else None
            case _:
                raise Refused("BadRequestException", f"Invalid resource arn: {arn}")
        if found is None:
            raise Refused("NotFoundException", f"Invalid resource identifier specified {arn}")
        return found

    def add(self, call: Call) -> dict[str, Any]:
        """Source: "Tag restrictions" of API Gateway: at most 50 a resource, and no key of AWS's own."""
        found, tags = self.find(call), call.params.get("Tags") or {}
        if any(key.startswith("aws:") for key in tags):
            raise Refused("BadRequestException", "Tag keys can't start with aws:")
        merged = {**found["Tags"], **tags}
        if len(merged) > 50:
            raise Refused("BadRequestException", "A resource can have 50 tags at most")
        found["Tags"] = merged
        return {}

    def remove(self, call: Call) -> Answer:
        found = self.find(call)
        found["Tags"] = {
            key: value for key, value in found["Tags"].items() if key not in call.params.get("TagKeys", [])
        }
        return Answer(204)
