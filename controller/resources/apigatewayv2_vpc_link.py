"""The VPC link through which an environment's APIs reach their tasks. A region allows ten, so its models share one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from controller.aws import Aws
from controller.core.graph import Node, Observed, Target
from controller.core.ownership import ENVIRONMENT, OWNER, dropped_tags
from controller.core.plan import Step
from controller.core.policy import FieldPolicy
from controller.core.status import Failed, Ready, Verdict, Waiting
from controller.core.values import Key, Ref
from controller.core.wanted import Wanted
from controller.errors import ConflictError, MissingError, RejectedError
from controller.resources.base import Resource, Scope


class VpcLink(Resource):
    """AWS takes minutes to make one, has no client token for it, and lets names repeat: the oldest of a name counts."""

    kind = "apigatewayv2/vpc-link"
    # Both are fixed once it is made. Subnets that the Environment names are part of the link's name, so others make
    # another link; a subnet that AWS adds to the default VPC changes nothing.
    policy = FieldPolicy(ignore=frozenset({"subnets", "security_groups"}), immutable=frozenset({"subnets"}))
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
        """One link for the environment, unless it names one."""
        if want.service is not None or want.environment.spec.edge.vpc_link is not None:
            return
        name = want.physical_name(list(want.environment.spec.network.subnets), limit=128)
        desired = {
            "subnets": Ref(want.shared("ec2/network"), "link_subnet_ids"),
            "security_groups": [Ref(want.shared("ec2/security-group", "vpc-link"), "id")],
            "tags": want.tags(),
        }
        yield Node(want.shared(self.kind), {"name": name}, desired)

    def observe(self, aws: Aws, targets: Sequence[Target]) -> dict[Key, Observed]:
        """List all links and match by name. One that is being deleted is absent."""
        oldest: dict[str, Mapping[str, Any]] = {}
        for link in _links(aws):
            oldest.setdefault(link["Name"], link)
        return {
            target.key: _seen(aws, oldest[target.identity["name"]])
            for target in targets
            if target.identity["name"] in oldest
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
        """Create the link, or set its tags."""
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
            self._remove_twins(aws, name, want["tags"])
        else:
            aws.write("apigatewayv2", "tag_resource", ResourceArn=seen.outputs["arn"], Tags=want["tags"])
            if gone := dropped_tags(step.changes):
                aws.write("apigatewayv2", "untag_resource", ResourceArn=seen.outputs["arn"], TagKeys=gone)
        return self.confirmed(aws, step)

    def delete(self, aws: Aws, target: Target) -> Waiting | None:
        """Delete the link, and wait until its network interfaces are gone: they hold the security group."""
        found = self.observe(aws, [target]).get(target.key)
        link = str(found.outputs["id"] if found is not None else target.known.get("id", ""))
        if not link:
            return None
        try:
            if found is not None:
                aws.write("apigatewayv2", "delete_vpc_link", VpcLinkId=link)
            status = aws.read("apigatewayv2", "get_vpc_link", VpcLinkId=link)["VpcLinkStatus"]
        except MissingError:
            return None
        except (ConflictError, RejectedError) as error:
            return Waiting("InUse", str(error), after=10)
        return Waiting("Deleting", f"the VPC link {target.identity['name']} is {status}", after=10)

    def _remove_twins(self, aws: Aws, name: str, tags: Mapping[str, str]) -> None:
        """Remove the younger ones of several links of ours: an earlier call whose answer was lost had come through."""
        ours = [link for link in _links(aws) if link["Name"] == name and _same_owner(link.get("Tags", {}), tags)]
        for link in ours[1:]:
            aws.write("apigatewayv2", "delete_vpc_link", VpcLinkId=link["VpcLinkId"])


def _links(aws: Aws) -> list[Mapping[str, Any]]:
    """Every link that isn't being deleted, oldest first; of one second, the one that works already."""

    def age(link: Mapping[str, Any]) -> tuple[str, bool, str]:
        return str(link.get("CreatedDate", "")), link["VpcLinkStatus"] != "AVAILABLE", link["VpcLinkId"]

    listed = aws.pages("apigatewayv2", "get_vpc_links", "Items")
    return sorted((link for link in listed if link["VpcLinkStatus"] != "DELETING"), key=age)


def _same_owner(tags: Mapping[str, str], wanted: Mapping[str, str]) -> bool:
    return all(tags.get(name) == wanted[name] for name in (ENVIRONMENT, OWNER))


def _seen(aws: Aws, link: Mapping[str, Any]) -> Observed:
    outputs = {
        "id": link["VpcLinkId"],
        "arn": f"arn:{aws.partition}:apigateway:{aws.region}::/vpclinks/{link['VpcLinkId']}",
        "status": link["VpcLinkStatus"],
        "message": link.get("VpcLinkStatusMessage", ""),
    }
    fields = {"subnets": link["SubnetIds"], "security_groups": link["SecurityGroupIds"], "tags": link.get("Tags", {})}
    return Observed(fields, outputs)
