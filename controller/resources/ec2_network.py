"""The network of tasks and VPC link. It is only read: no model changes a VPC."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from controller.aws import AwsClient
from controller.core.graph import Node, Observed, Target
from controller.core.spec_context import SpecContext
from controller.core.values import Key
from controller.errors import FailedError
from controller.resources.base import Resource

# Availability zones in which a VPC link can't have a subnet.
# https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-vpc-links.html
_ZONES_WITHOUT_VPC_LINKS = frozenset(
    {
        "ape1-az1",
        "apne1-az3",
        "apne2-az4",
        "cac1-az3",
        "cac1-az4",
        "euw3-az2",
        "use1-az3",
        "usw1-az2",
    }
)


class VpcNetwork(Resource):
    """The subnets that the Environment names, or all of the Region's default VPC."""

    kind = "ec2/network"
    read_only = True
    permissions = {
        "ec2.describe_vpcs": frozenset({"ec2:DescribeVpcs"}),
        "ec2.describe_subnets": frozenset({"ec2:DescribeSubnets"}),
    }

    def expand(self, context: SpecContext) -> Iterable[Node]:
        """Return one network for the environment."""
        if context.service is None:
            yield Node(context.shared_key(self.kind), {"subnets": list(context.environment.spec.network.subnets)})

    def observe(self, aws: AwsClient, targets: Sequence[Target]) -> dict[Key, Observed]:
        """Return vpc_id, subnet_ids, link_subnet_ids (those that a VPC link can use) and whether it is the default VPC.

        Raises FailedError if there is no default VPC, if a subnet is missing, or if the subnets belong to several VPCs.
        """
        return {target.key: _observe_network(aws, target) for target in targets}


def _observe_network(aws: AwsClient, target: Target) -> Observed:
    named = target.identity["subnets"]
    subnets = _describe_named_subnets(aws, target.key, named) if named else _describe_default_subnets(aws, target.key)
    linkable = [subnet for subnet in subnets if subnet.get("AvailabilityZoneId") not in _ZONES_WITHOUT_VPC_LINKS]
    outputs = {
        "vpc_id": subnets[0]["VpcId"],
        "subnet_ids": sorted(subnet["SubnetId"] for subnet in subnets),
        "link_subnet_ids": sorted(subnet["SubnetId"] for subnet in linkable),
        "default": not named,
    }
    return Observed({}, {"id": outputs["vpc_id"], **outputs})


def _describe_named_subnets(aws: AwsClient, key: Key, ids: list[str]) -> list[dict[str, Any]]:
    # A filter, not SubnetIds: with one id missing that call fails as a whole and doesn't name the others.
    subnets = list(aws.iter_items("ec2", "describe_subnets", "Subnets", Filters=[{"Name": "subnet-id", "Values": ids}]))
    missing = sorted(set(ids) - {subnet["SubnetId"] for subnet in subnets})
    if missing:
        raise FailedError(
            f"there is no {', '.join(missing)} in {aws.region}", where=str(key), hint="correct spec.network.subnets"
        )
    vpcs = sorted({subnet["VpcId"] for subnet in subnets})
    if len(vpcs) > 1:
        raise FailedError(
            "the subnets belong to several VPCs",
            where=str(key),
            why=", ".join(vpcs),
            hint="spec.network.subnets must be of one VPC",
        )
    return subnets


def _describe_default_subnets(aws: AwsClient, key: Key) -> list[dict[str, Any]]:
    vpcs = list(aws.iter_items("ec2", "describe_vpcs", "Vpcs", Filters=[{"Name": "is-default", "Values": ["true"]}]))
    ids = [vpc["VpcId"] for vpc in vpcs]
    subnets = (
        list(aws.iter_items("ec2", "describe_subnets", "Subnets", Filters=[{"Name": "vpc-id", "Values": ids}]))
        if ids
        else []
    )
    if not subnets:
        raise FailedError(
            f"{aws.region} has no default VPC with subnets",
            where=str(key),
            hint="name spec.network.subnets, or run `aws ec2 create-default-vpc`",
        )
    return subnets
