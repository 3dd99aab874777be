"""VPC links (V2): slow to come, slow to go, immutable, few.

Source of all: API Gateway developer guide, "Set up VPC links V2 in API Gateway", and the quotas of HTTP APIs. A link takes minutes on AWS
and MOORAGE_LOCAL_VPC_LINK_SECONDS (default 1) here.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence

from moto.ec2.models import ec2_backends

from embedded_aws.call import Answer, Call, Refused
from embedded_aws.strict.apigatewayv2.records import Item, LinkRecord, Records, check_quota, listed, new_id


def install(records: Records) -> None:
    """Register the handlers."""
    handlers = _VpcLinks(records)
    records.handle("CreateVpcLink", handlers.create)
    records.handle("GetVpcLink", lambda call: handlers.find(call).fields)
    records.handle("GetVpcLinks", lambda call: listed(call, [link.fields for link in handlers.in_region(call.region)]))
    records.handle("UpdateVpcLink", handlers.update)
    records.handle("DeleteVpcLink", handlers.delete)


class _VpcLinks:
    def __init__(self, records: Records) -> None:
        self.records = records

    def in_region(self, region: str) -> list[LinkRecord]:
        """Return the region's links, oldest first."""
        return [link for (where, _), link in self.records.links.items() if where == region]

    def find(self, call: Call) -> LinkRecord:
        """Return the link that the call names. Raises Refused."""
        link = self.records.links.get((call.region, call.params["VpcLinkId"]))
        if link is None:
            raise Refused("NotFoundException", f"Invalid VpcLink identifier specified {call.params['VpcLinkId']}")
        return link

    def create(self, call: Call) -> Item:
        """CreateVpcLink has no client token and names may repeat: the same call twice makes two links (API reference)."""
        check_quota(len(self.in_region(call.region)), 10, "VPC links for this account and Region")
        if not call.params.get("Name"):
            raise Refused("BadRequestException", "Invalid VPC link name specified")
        fields = {
            "CreatedDate": self.records.world.now(),
            "Name": call.params["Name"],
            "SecurityGroupIds": list(call.params.get("SecurityGroupIds") or []),
            "SubnetIds": list(call.params.get("SubnetIds") or []),
            "Tags": dict(call.params.get("Tags") or {}),
            "VpcLinkId": new_id(6),
            "VpcLinkStatus": "PENDING",
            "VpcLinkStatusMessage": "VPC link is provisioning ENIs",
            "VpcLinkVersion": "V2",
        }
        link = LinkRecord(fields, self._attach(call.region, fields))
        self.records.links[call.region, fields["VpcLinkId"]] = link
        answer = dict(fields)
        self._later(lambda: self._provisioned(link))
        return answer

    def update(self, call: Call) -> Item:
        """Only the name can change: subnets and security groups of a link never do."""
        link = self.find(call)
        link.fields["Name"] = call.params.get("Name") or link.fields["Name"]
        return link.fields

    def delete(self, call: Call) -> Answer:
        """Refused while an integration uses it; code and text are AWS's own, as reported in hashicorp/terraform-provider-aws#12195."""
        link = self.find(call)
        link_id = link.fields["VpcLinkId"]
        users = self._users(call.region, link_id)
        if users:
            message = f"Cannot delete vpc link. Vpc link '{link_id}', is referenced in [{', '.join(users)}] in format of [Method:Resource]."
            raise Refused("BadRequestException", message)
        link.fields.update(VpcLinkStatus="DELETING", VpcLinkStatusMessage="VPC link is deleting")
        self._later(lambda: self._gone(call.region, link))
        return Answer(202, {"content-type": "application/json"}, b"{}")

    def _users(self, region: str, link_id: str) -> list[str]:
        """Name what refers to a link, as AWS does: `METHOD:route` for each route of each integration, else the integration."""
        users = []
        for record in self.records.in_region(region):
            for integration_id, integration in record.integrations.items():
                if integration.get("ConnectionId") == link_id:
                    target = f"integrations/{integration_id}"
                    routes = [route for route in record.routes.values() if route.get("Target") == target]
                    users += [f"{route['RouteKey'].split(' ')[0]}:{route['RouteId']}" for route in routes] or [
                        integration_id
                    ]
        return users

    def _attach(self, region: str, fields: Item) -> Sequence[str]:
        """Check the network and make the link's interfaces, one a subnet; return their ids."""
        ec2 = ec2_backends[self.records.world.account][region]
        known = {subnet.id: subnet for subnet in ec2.describe_subnets()}
        missing = [name for name in fields["SubnetIds"] if name not in known]
        if missing or not fields["SubnetIds"]:
            raise Refused("BadRequestException", f"Invalid subnet ids specified: {missing}")
        missing = [name for name in fields["SecurityGroupIds"] if ec2.get_security_group_from_id(name) is None]
        if missing:
            raise Refused("BadRequestException", f"Invalid security group ids specified: {missing}")
        made = [
            ec2.create_network_interface(
                known[name],
                private_ip_address="",
                group_ids=fields["SecurityGroupIds"],
                description=f"API Gateway VPC link {fields['VpcLinkId']}",
            )
            for name in fields["SubnetIds"]
        ]
        return [interface.id for interface in made]

    def _provisioned(self, link: LinkRecord) -> None:
        if link.fields["VpcLinkStatus"] == "PENDING":
            link.fields.update(VpcLinkStatus="AVAILABLE", VpcLinkStatusMessage="VPC link is ready to route traffic")

    def _gone(self, region: str, link: LinkRecord) -> None:
        ec2 = ec2_backends[self.records.world.account][region]
        for interface in link.interfaces:
            ec2.enis.pop(interface, None)
        self.records.links.pop((region, link.fields["VpcLinkId"]), None)

    def _later(self, change: Callable[[], None]) -> None:
        """Make a change after the time a link takes."""
        seconds = float(os.environ.get("MOORAGE_LOCAL_VPC_LINK_SECONDS", "1"))

        def worker(stop: threading.Event) -> None:
            if not stop.wait(seconds):
                with self.records.world.lock:
                    change()

        self.records.world.work("vpc-link", worker)
