"""The VPC link through which an environment's APIs reach their tasks. A region allows ten, so its models share one."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from controller.aws import Aws
from controller.core.graph import Node, Observed, Target
from controller.core.ownership import ENVIRONMENT, OWNER, dropped_tags
from controller.core.plan import Step
from controller.core.policy import FieldPolicy
from controller.core.status import Failed, Ready, Verdict, Waiting
from controller.core.values import Key, Ref, Value
from controller.core.wanted import Wanted
from controller.errors import ConflictError, MissingError, RejectedError
from controller.resources.base import Resource, Scope


class VpcLink(Resource):
    """AWS takes minutes to make one, has no client token for it, and lets names repeat.

    The one that is known counts, or else the oldest of the name. A call that was sent twice leaves a twin, which must go: a
    Region allows ten.
    """

    kind = "apigatewayv2/vpc-link"
    # Both are fixed once it is made. Subnets that the Environment names are part of the link's name, so others make
    # another link; a subnet that AWS adds to the default VPC changes nothing.
    policy = FieldPolicy(
        ignore=frozenset({"subnets", "security_groups"}),
        immutable=frozenset({"subnets"}),
        owned=frozenset({"duplicates"}),
    )
    permissions = {
        "apigatewayv2.get_vpc_links": frozenset({"apigateway:GET"}),
        "apigatewayv2.get_vpc_link": frozenset({"apigateway:GET"}),
        "apigatewayv2.create_vpc_link": frozenset({"apigateway:POST", "iam:CreateServiceLinkedRole"}),
        "apigatewayv2.tag_resource": frozenset({"apigateway:POST"}),
        "apigatewayv2.untag_resource": frozenset({"apigateway:DELETE"}),
        "apigatewayv2.delete_vpc_link": frozenset({"apigateway:DELETE"}),
    }
    scopes = {
        "apigateway:GET": (
            Scope("apigateway:{region}::/vpclinks"),
            Scope("apigateway:{region}::/vpclinks/*"),
        ),
        "apigateway:POST": (
            Scope("apigateway:{region}::/vpclinks"),
            Scope("apigateway:{region}::/tags/*"),
        ),
        "apigateway:DELETE": (
            Scope("apigateway:{region}::/vpclinks/*"),
            Scope("apigateway:{region}::/tags/*"),
        ),
        "iam:CreateServiceLinkedRole": (
            Scope(
                "iam::{account}:role/aws-service-role/ops.apigateway.amazonaws.com/AWSServiceRoleForAPIGateway",
                {"iam:AWSServiceName": "ops.apigateway.amazonaws.com"},
            ),
        ),
    }

    def expand(self, want: Wanted) -> Iterable[Node]:
        """One link for the environment, unless it names one or needs none."""
        if want.service is not None or not want.makes_link:
            return
        name = want.physical_name(list(want.environment.spec.network.subnets), limit=128)
        desired = {
            "subnets": Ref(want.shared("ec2/network"), "link_subnet_ids"),
            "security_groups": [Ref(want.shared("ec2/security-group", "vpc-link"), "id")],
            "duplicates": [],
            "tags": want.tags(),
        }
        yield Node(want.shared(self.kind), {"name": name}, desired)

    def observe(self, aws: Aws, targets: Sequence[Target]) -> dict[Key, Observed]:
        """List all links and match by name. One that is being deleted is absent."""
        named: dict[str, list[Mapping[str, Any]]] = {}
        for link in _links(aws):
            named.setdefault(link["Name"], []).append(link)
        return {
            target.key: _seen(aws, named[target.identity["name"]], target.known.get("id"))
            for target in targets
            if target.identity["name"] in named
        }

    def ready(self, node: Node, seen: Observed) -> Verdict:
        """AVAILABLE is ready; so is INACTIVE, which the next request wakes up within minutes."""
        status, message = seen.outputs["status"], seen.outputs["message"]
        if status == "AVAILABLE":
            return Ready()
        if status == "INACTIVE":
            return Ready("Inactive", "no traffic for sixty days; the next requests fail until AWS has woken it up")
        if status == "FAILED":
            hint = f"delete it so that it is made anew: aws apigatewayv2 delete-vpc-link --vpc-link-id {seen.outputs['id']}"
            return Failed("VpcLinkFailed", f"{message or 'AWS gives no reason'}; {hint}")
        return Waiting("Provisioning", f"the VPC link {node.identity['name']} is {status}; it takes minutes", after=5)

    def apply(self, aws: Aws, step: Step, seen: Observed | None) -> Observed:
        """Create the link, or set its tags and remove its twins."""
        name, want = step.node.identity["name"], step.node.desired
        if seen is None:
            aws.write(
                "apigatewayv2",
                "create_vpc_link",
                Name=name,
                SubnetIds=want["subnets"],
                SecurityGroupIds=want["security_groups"],
                Tags=want["tags"],
            )
            return self.confirmed(aws, step)
        if not want["tags"].items() <= seen.fields["tags"].items():
            aws.write("apigatewayv2", "tag_resource", ResourceArn=seen.outputs["arn"], Tags=want["tags"])
        if gone := dropped_tags(step.changes):
            aws.write("apigatewayv2", "untag_resource", ResourceArn=seen.outputs["arn"], TagKeys=gone)
        for twin in seen.fields["duplicates"]:
            _delete(aws, twin)
        return Observed(want, seen.outputs)

    def delete(self, aws: Aws, target: Target) -> Waiting | None:
        """Delete the link, and wait until its network interfaces are gone: they hold the security group."""
        found = self.observe(aws, [target]).get(target.key)
        link = str(found.outputs["id"] if found is not None else target.known.get("id", ""))
        if not link:
            return None
        try:
            for one in (*found.fields["duplicates"], link) if found is not None else ():
                _delete(aws, one)
            status = aws.read("apigatewayv2", "get_vpc_link", VpcLinkId=link)["VpcLinkStatus"]
        except MissingError:
            return None
        except (ConflictError, RejectedError) as error:
            return Waiting("InUse", str(error), after=10)
        return Waiting("Deleting", f"the VPC link {target.identity['name']} is {status}", after=10)


def _links(aws: Aws) -> list[Mapping[str, Any]]:
    """Every link that isn't being deleted, oldest first; of one second, the one that works already."""

    def age(link: Mapping[str, Any]) -> tuple[str, bool, str]:
        return str(link.get("CreatedDate", "")), link["VpcLinkStatus"] != "AVAILABLE", link["VpcLinkId"]

    listed = aws.pages("apigatewayv2", "get_vpc_links", "Items")
    return sorted((link for link in listed if link["VpcLinkStatus"] != "DELETING"), key=age)


def _owner(link: Mapping[str, Any]) -> tuple[str | None, ...]:
    return tuple(link.get("Tags", {}).get(name) for name in (ENVIRONMENT, OWNER))


def _delete(aws: Aws, link: str) -> None:
    with contextlib.suppress(MissingError):
        aws.write("apigatewayv2", "delete_vpc_link", VpcLinkId=link)


def _seen(aws: Aws, named: Sequence[Mapping[str, Any]], known: Value) -> Observed:
    """The link that counts, and as `duplicates` those of the same name and owner."""
    link = next((link for link in named if link["VpcLinkId"] == known), named[0])
    twins = [twin["VpcLinkId"] for twin in named if twin is not link and _owner(twin) == _owner(link)]
    outputs = {
        "id": link["VpcLinkId"],
        "arn": f"arn:{aws.partition}:apigateway:{aws.region}::/vpclinks/{link['VpcLinkId']}",
        "status": link["VpcLinkStatus"],
        "message": link.get("VpcLinkStatusMessage", ""),
    }
    fields = {
        "subnets": link["SubnetIds"],
        "security_groups": link["SecurityGroupIds"],
        "duplicates": twins,
        "tags": link.get("Tags", {}),
    }
    return Observed(fields, outputs)
