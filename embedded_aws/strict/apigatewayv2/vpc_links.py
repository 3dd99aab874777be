"""VPC links (V2): slow to create and delete, immutable, and limited to a few.

Source of all: API Gateway developer guide, "Set up VPC links V2 in API Gateway", and the quotas of HTTP APIs. Creating
or deleting a link takes minutes on AWS, and MOORAGE_LOCAL_VPC_LINK_SECONDS (default 1) here.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence

from moto.ec2.models import ec2_backends

from embedded_aws.api_call import ApiCall, ApiError, ApiResponse
from embedded_aws.strict.apigatewayv2.state import (
    ApiGatewayState,
    OutputShape,
    VpcLinkState,
    check_quota,
    generate_id,
    list_page,
)


def install(state: ApiGatewayState) -> None:
    """Register the handlers."""
    handlers = _VpcLinkHandlers(state)
    state.register_handler("CreateVpcLink", handlers.create)
    state.register_handler("GetVpcLink", lambda call: handlers.get_link(call).fields)
    state.register_handler(
        "GetVpcLinks", lambda call: list_page(call, [link.fields for link in handlers.list_links(call.region)])
    )
    state.register_handler("UpdateVpcLink", handlers.update)
    state.register_handler("DeleteVpcLink", handlers.delete)


class _VpcLinkHandlers:
    def __init__(self, state: ApiGatewayState) -> None:
        self.state = state

    def list_links(self, region: str) -> list[VpcLinkState]:
        """Return the region's links, oldest first."""
        return [link for (where, _), link in self.state.links.items() if where == region]

    def get_link(self, call: ApiCall) -> VpcLinkState:
        """Return the link that the call names. Raises ApiError."""
        link = self.state.links.get((call.region, call.params["VpcLinkId"]))
        if link is None:
            raise ApiError("NotFoundException", f"Invalid VpcLink identifier specified {call.params['VpcLinkId']}")
        return link

    def create(self, call: ApiCall) -> OutputShape:
        """Create a link. There is no client token and names may repeat, so the same call twice creates two links."""
        check_quota(len(self.list_links(call.region)), 10, "VPC links for this account and Region")
        if not call.params.get("Name"):
            raise ApiError("BadRequestException", "Invalid VPC link name specified")
        fields = {
            "CreatedDate": self.state.emulator.now(),
            "Name": call.params["Name"],
            "SecurityGroupIds": list(call.params.get("SecurityGroupIds") or []),
            "SubnetIds": list(call.params.get("SubnetIds") or []),
            "Tags": dict(call.params.get("Tags") or {}),
            "VpcLinkId": generate_id(6),
            "VpcLinkStatus": "PENDING",
            "VpcLinkStatusMessage": "VPC link is provisioning ENIs",
            "VpcLinkVersion": "V2",
        }
        link = VpcLinkState(fields, self._create_interfaces(call.region, fields))
        self.state.links[call.region, fields["VpcLinkId"]] = link
        answer = dict(fields)
        self._change_later(lambda: self._set_available(link))
        return answer

    def update(self, call: ApiCall) -> OutputShape:
        """Change the name. The subnets and security groups of a link never change."""
        link = self.get_link(call)
        link.fields["Name"] = call.params.get("Name") or link.fields["Name"]
        return link.fields

    def delete(self, call: ApiCall) -> ApiResponse:
        """Delete a link. Raises ApiError while an integration uses it.

        Code and message are AWS's own, as reported in hashicorp/terraform-provider-aws#12195.
        """
        link = self.get_link(call)
        link_id = link.fields["VpcLinkId"]
        users = self._find_users(call.region, link_id)
        if users:
            uses = f"[{', '.join(users)}] in format of [Method:Resource]"
            message = f"Cannot delete vpc link. Vpc link '{link_id}', is referenced in {uses}."
            raise ApiError("BadRequestException", message)
        link.fields.update(VpcLinkStatus="DELETING", VpcLinkStatusMessage="VPC link is deleting")
        self._change_later(lambda: self._remove(call.region, link))
        return ApiResponse(202, {"content-type": "application/json"}, b"{}")

    def _find_users(self, region: str, link_id: str) -> list[str]:
        """Return the references to a link in AWS's form.

        That is `METHOD:route` for each route of each integration, or the integration when it has no route.
        """
        users = []
        for record in self.state.list_apis(region):
            for integration_id, integration in record.integrations.items():
                if integration.get("ConnectionId") == link_id:
                    target = f"integrations/{integration_id}"
                    routes = [route for route in record.routes.values() if route.get("Target") == target]
                    users += [f"{route['RouteKey'].split(' ')[0]}:{route['RouteId']}" for route in routes] or [
                        integration_id
                    ]
        return users

    def _create_interfaces(self, region: str, fields: OutputShape) -> Sequence[str]:
        """Check the network and create the link's interfaces, one per subnet; return their ids."""
        ec2 = ec2_backends[self.state.emulator.account][region]
        known = {subnet.id: subnet for subnet in ec2.describe_subnets()}
        missing = [name for name in fields["SubnetIds"] if name not in known]
        if missing or not fields["SubnetIds"]:
            raise ApiError("BadRequestException", f"Invalid subnet ids specified: {missing}")
        missing = [name for name in fields["SecurityGroupIds"] if ec2.get_security_group_from_id(name) is None]
        if missing:
            raise ApiError("BadRequestException", f"Invalid security group ids specified: {missing}")
        interfaces = [
            ec2.create_network_interface(
                known[name],
                private_ip_address="",
                group_ids=fields["SecurityGroupIds"],
                description=f"API Gateway VPC link {fields['VpcLinkId']}",
            )
            for name in fields["SubnetIds"]
        ]
        return [interface.id for interface in interfaces]

    def _set_available(self, link: VpcLinkState) -> None:
        if link.fields["VpcLinkStatus"] == "PENDING":
            link.fields.update(VpcLinkStatus="AVAILABLE", VpcLinkStatusMessage="VPC link is ready to route traffic")

    def _remove(self, region: str, link: VpcLinkState) -> None:
        ec2 = ec2_backends[self.state.emulator.account][region]
        for interface in link.interfaces:
            ec2.enis.pop(interface, None)
        self.state.links.pop((region, link.fields["VpcLinkId"]), None)

    def _change_later(self, change: Callable[[], None]) -> None:
        """Apply a change after the time that a link takes."""
        seconds = float(os.environ.get("MOORAGE_LOCAL_VPC_LINK_SECONDS", "1"))

        def worker(stop: threading.Event) -> None:
            if not stop.wait(seconds):
                with self.state.emulator.lock:
                    change()

        self.state.emulator.start_worker("vpc-link", worker)
