"""The VPC link through which an environment's APIs reach their tasks. A Region allows ten, so its models share one."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from controller.aws import AwsClient
from controller.core.field_policy import FieldPolicy
from controller.core.graph import Node, Observed, Target
from controller.core.ownership import ENVIRONMENT_TAG, OWNER_TAG, find_dropped_tags
from controller.core.plan import Step
from controller.core.spec_context import SpecContext
from controller.core.status import Failed, Ready, Verdict, Waiting
from controller.core.values import Key, Ref, Value
from controller.errors import ConflictError, MissingError, RejectedError
from controller.resources.base import PermissionScope, Resource


class VpcLink(Resource):
    """AWS takes minutes to create one, has no client token for it, and lets names repeat.

    The known link counts, or else the oldest of the name. A call that was sent twice leaves a twin, which must be
    deleted: a Region allows ten links.
    """

    kind = "apigatewayv2/vpc-link"
    # Both are fixed at creation. Subnets that the Environment names are part of the link's name, so other subnets make
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
            PermissionScope("apigateway:{region}::/vpclinks"),
            PermissionScope("apigateway:{region}::/vpclinks/*"),
        ),
        "apigateway:POST": (
            PermissionScope("apigateway:{region}::/vpclinks"),
            PermissionScope("apigateway:{region}::/tags/*"),
        ),
        "apigateway:DELETE": (
            PermissionScope("apigateway:{region}::/vpclinks/*"),
            PermissionScope("apigateway:{region}::/tags/*"),
        ),
        "iam:CreateServiceLinkedRole": (
            PermissionScope(
                "iam::{account}:role/aws-service-role/ops.apigateway.amazonaws.com/AWSServiceRoleForAPIGateway",
                {"iam:AWSServiceName": "ops.apigateway.amazonaws.com"},
            ),
        ),
    }

    def expand(self, context: SpecContext) -> Iterable[Node]:
        """Return one link for the environment, unless it names one or needs none."""
        if context.service is not None or not context.needs_vpc_link:
            return
        name = context.physical_name(list(context.environment.spec.network.subnets), limit=128)
        desired = {
            "subnets": Ref(context.shared_key("ec2/network"), "link_subnet_ids"),
            "security_groups": [Ref(context.shared_key("ec2/security-group", "vpc-link"), "id")],
            "duplicates": [],
            "tags": context.tags(),
        }
        yield Node(context.shared_key(self.kind), {"name": name}, desired)

    def observe(self, aws: AwsClient, targets: Sequence[Target]) -> dict[Key, Observed]:
        """List all links and match by name. A link that is being deleted counts as absent."""
        named: dict[str, list[Mapping[str, Any]]] = {}
        for link in _list_links(aws):
            named.setdefault(link["Name"], []).append(link)
        return {
            target.key: _observed(aws, named[target.identity["name"]], target.known_outputs.get("id"))
            for target in targets
            if target.identity["name"] in named
        }

    def ready(self, node: Node, seen: Observed) -> Verdict:
        """Judge the status: AVAILABLE is ready; so is INACTIVE, which the next request activates within minutes."""
        status, message = seen.outputs["status"], seen.outputs["message"]
        if status == "AVAILABLE":
            return Ready()
        if status == "INACTIVE":
            return Ready("Inactive", "no traffic for sixty days; the next requests fail until AWS has woken it up")
        if status == "FAILED":
            command = f"aws apigatewayv2 delete-vpc-link --vpc-link-id {seen.outputs['id']}"
            hint = f"delete it so that it is made anew: {command}"
            return Failed("VpcLinkFailed", f"{message or 'AWS gives no reason'}; {hint}")
        return Waiting(
            "Provisioning", f"the VPC link {node.identity['name']} is {status}; it takes minutes", requeue_after=5
        )

    def apply(self, aws: AwsClient, step: Step, seen: Observed | None) -> Observed:
        """Create the link, or set its tags and delete its twins."""
        name, context = step.node.identity["name"], step.node.desired
        if seen is None:
            aws.write(
                "apigatewayv2",
                "create_vpc_link",
                Name=name,
                SubnetIds=context["subnets"],
                SecurityGroupIds=context["security_groups"],
                Tags=context["tags"],
            )
            return self.confirm(aws, step)
        if not context["tags"].items() <= seen.fields["tags"].items():
            aws.write("apigatewayv2", "tag_resource", ResourceArn=seen.outputs["arn"], Tags=context["tags"])
        if absent := find_dropped_tags(step.changes):
            aws.write("apigatewayv2", "untag_resource", ResourceArn=seen.outputs["arn"], TagKeys=absent)
        for twin in seen.fields["duplicates"]:
            _delete_link(aws, twin)
        return Observed(context, seen.outputs)

    def delete(self, aws: AwsClient, target: Target) -> Waiting | None:
        """Delete the link, and wait until its network interfaces are deleted: they hold the security group."""
        found = self.observe(aws, [target]).get(target.key)
        link = str(found.outputs["id"] if found is not None else target.known_outputs.get("id", ""))
        if not link:
            return None
        try:
            for one in (*found.fields["duplicates"], link) if found is not None else ():
                _delete_link(aws, one)
            status = aws.read("apigatewayv2", "get_vpc_link", VpcLinkId=link)["VpcLinkStatus"]
        except MissingError:
            return None
        except (ConflictError, RejectedError) as error:
            return Waiting("InUse", str(error), requeue_after=10)
        return Waiting("Deleting", f"the VPC link {target.identity['name']} is {status}", requeue_after=10)


def _list_links(aws: AwsClient) -> list[Mapping[str, Any]]:
    """Return every link that isn't being deleted, oldest first; among those of one second, the available one first."""

    def age(link: Mapping[str, Any]) -> tuple[str, bool, str]:
        return str(link.get("CreatedDate", "")), link["VpcLinkStatus"] != "AVAILABLE", link["VpcLinkId"]

    listed = aws.iter_items("apigatewayv2", "get_vpc_links", "Items")
    return sorted((link for link in listed if link["VpcLinkStatus"] != "DELETING"), key=age)


def _owner_tags(link: Mapping[str, Any]) -> tuple[str | None, ...]:
    return tuple(link.get("Tags", {}).get(name) for name in (ENVIRONMENT_TAG, OWNER_TAG))


def _delete_link(aws: AwsClient, link: str) -> None:
    with contextlib.suppress(MissingError):
        aws.write("apigatewayv2", "delete_vpc_link", VpcLinkId=link)


def _observed(aws: AwsClient, named: Sequence[Mapping[str, Any]], known: Value) -> Observed:
    """Return the link that counts, with those of the same name and owner as `duplicates`."""
    link = next((link for link in named if link["VpcLinkId"] == known), named[0])
    twins = [twin["VpcLinkId"] for twin in named if twin is not link and _owner_tags(twin) == _owner_tags(link)]
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
