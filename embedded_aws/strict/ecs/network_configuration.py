"""Check the network configuration of tasks against moto's EC2."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from moto.ec2 import ec2_backends

from embedded_aws.api_call import ApiCall
from embedded_aws.strict.ecs.lookup import invalid_parameter


def check_network_configuration(call: ApiCall, configuration: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the network configuration; omitted security groups are the VPC's default one (AwsVpcConfiguration).

    Raises InvalidParameterException, with the message in which ECS passes on EC2's error.
    """
    placement = dict((configuration or {}).get("awsvpcConfiguration") or {})
    if not placement:
        raise invalid_parameter("Network Configuration must be provided when networkMode 'awsvpc' is specified.")
    backend = ec2_backends[call.account][call.region]
    if not placement.get("subnets"):
        raise invalid_parameter("subnets can not be empty.")
    subnets = {subnet.id: subnet for zone in backend.subnets.values() for subnet in zone.values()}
    for subnet_id in placement["subnets"]:
        if subnet_id not in subnets:
            raise invalid_parameter(
                f"Error retrieving subnet information for [{subnet_id}]: The subnet ID '{subnet_id}' does not exist "
                "(ErrorCode: InvalidSubnetID.NotFound)"
            )
    vpcs = {subnets[subnet_id].vpc_id for subnet_id in placement["subnets"]}
    if len(vpcs) > 1:
        raise invalid_parameter("The subnets must all be in the same VPC.")
    [vpc] = vpcs
    groups = backend.groups[vpc]
    placement["securityGroups"] = placement.get("securityGroups") or [
        group.id for group in groups.values() if group.name == "default"
    ]
    for group_id in placement["securityGroups"]:
        if group_id not in groups:
            raise invalid_parameter(
                f"Error retrieving security group information for [{group_id}]: The security group '{group_id}' does "
                "not exist (ErrorCode: InvalidGroup.NotFound)"
            )
    return {"awsvpcConfiguration": {"assignPublicIp": "DISABLED"} | placement}
