"""Security groups: one for the environment's VPC link, and one for each model's tasks, which admits only that link."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from controller.aws import AwsClient
from controller.core.field_policy import FieldPolicy
from controller.core.graph import Node, Observed, Target
from controller.core.ownership import find_dropped_tags, parse_tags, to_tag_list
from controller.core.plan import Step
from controller.core.spec_context import SpecContext
from controller.core.status import Waiting
from controller.core.values import Key, Ref, Value
from controller.errors import ConflictError, MissingError
from controller.resources.base import OWNED_REQUEST_CONDITION, OWNED_RESOURCE_CONDITION, PermissionScope, Resource

TASK_PORT = 8080
VPC_LINK_QUALIFIER = "vpc-link"
# https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/Using_Filtering.html#Filtering_Resources_CLI
_NAMES_PER_FILTER = 200

# AWS chooses their ids: the tag identifies ours.
_GROUP_ARN = "ec2:{region}:{account}:security-group/*"
# Field of an IpPermission → the field in it that names the source.
_SOURCE_FIELDS = {
    "UserIdGroupPairs": "GroupId",
    "IpRanges": "CidrIp",
    "Ipv6Ranges": "CidrIpv6",
    "PrefixListIds": "PrefixListId",
}


class SecurityGroup(Resource):
    """Ingress is owned: a rule that others added is removed again. Egress stays as AWS creates it: open."""

    kind = "ec2/security-group"
    policy = FieldPolicy(sets=frozenset({"ingress"}), owned=frozenset({"ingress"}))
    permissions = {
        "ec2.describe_security_groups": frozenset({"ec2:DescribeSecurityGroups"}),
        "ec2.create_security_group": frozenset({"ec2:CreateSecurityGroup", "ec2:CreateTags"}),
        "ec2.authorize_security_group_ingress": frozenset({"ec2:AuthorizeSecurityGroupIngress"}),
        "ec2.revoke_security_group_ingress": frozenset({"ec2:RevokeSecurityGroupIngress"}),
        "ec2.create_tags": frozenset({"ec2:CreateTags"}),
        "ec2.delete_tags": frozenset({"ec2:DeleteTags"}),
        "ec2.delete_security_group": frozenset({"ec2:DeleteSecurityGroup"}),
    }
    scopes = {
        "ec2:CreateSecurityGroup": (
            PermissionScope("ec2:{region}:{account}:vpc/*"),
            PermissionScope(_GROUP_ARN, OWNED_REQUEST_CONDITION),
        ),
        "ec2:CreateTags": (
            PermissionScope(_GROUP_ARN, {"ec2:CreateAction": "CreateSecurityGroup"}),
            PermissionScope(_GROUP_ARN, OWNED_RESOURCE_CONDITION),
        ),
        "ec2:": (PermissionScope(_GROUP_ARN, OWNED_RESOURCE_CONDITION),),
    }

    def expand(self, context: SpecContext) -> Iterable[Node]:
        """Return the link's group for an Environment.

        The tasks' for a ModelService, unless the Environment names groups.
        """
        vpc = Ref(context.shared_key("ec2/network"), "vpc_id")
        link = context.shared_key(self.kind, VPC_LINK_QUALIFIER)
        if context.service is None:
            if context.needs_vpc_link:
                identity = {"name": context.physical_name(qualifier=VPC_LINK_QUALIFIER, limit=255), "vpc": vpc}
                yield Node(link, identity, {"ingress": [], "tags": context.tags()})
        elif context.trainable_spec is not None and not context.environment.spec.network.security_groups:
            identity = {"name": context.physical_name(limit=255), "vpc": vpc}
            rule = {"protocol": "tcp", "from": TASK_PORT, "to": TASK_PORT, "source": Ref(link, "id")}
            yield Node(context.own_key(self.kind), identity, {"ingress": [rule], "tags": context.tags()})

    def observe(self, aws: AwsClient, targets: Sequence[Target]) -> dict[Key, Observed]:
        """Find all groups by name, as many at once as a filter takes; then by VPC."""
        names = sorted({target.identity["name"] for target in targets})
        groups = {}
        for start in range(0, len(names), _NAMES_PER_FILTER):
            some = [{"Name": "group-name", "Values": names[start : start + _NAMES_PER_FILTER]}]
            for group in aws.iter_items("ec2", "describe_security_groups", "SecurityGroups", Filters=some):
                groups[group["GroupName"], group["VpcId"]] = group
        return {
            target.key: _observed(group)
            for target in targets
            if (group := groups.get((target.identity["name"], target.identity["vpc"]))) is not None
        }

    def apply(self, aws: AwsClient, step: Step, seen: Observed | None) -> Observed:
        """Create the group or set its tags; then add missing rules and remove extra ones."""
        context = step.node.desired
        if seen is None:
            seen = Observed({"ingress": [], "tags": context["tags"]}, {"id": self._create(aws, step)})
        group = seen.outputs["id"]
        if seen.fields["tags"] != context["tags"]:
            aws.write("ec2", "create_tags", Resources=[group], Tags=to_tag_list(context["tags"]))
            if absent := find_dropped_tags(step.changes):
                aws.write("ec2", "delete_tags", Resources=[group], Tags=[{"Key": name} for name in absent])
        missing = [_to_ip_permission(rule) for rule in context["ingress"] if rule not in seen.fields["ingress"]]
        surplus = [_to_ip_permission(rule) for rule in seen.fields["ingress"] if rule not in context["ingress"]]
        if missing:
            _change_rules(ConflictError, aws, "authorize_security_group_ingress", group, missing)
        if surplus:
            _change_rules(MissingError, aws, "revoke_security_group_ingress", group, surplus)
        return self.confirm(aws, step, returned_outputs=seen.outputs)

    def delete(self, aws: AwsClient, target: Target) -> Waiting | None:
        """Delete the group once it has no network interface and no other group names it."""
        found = self.observe(aws, [target]).get(target.key)
        # AWS may not show the new id yet.
        group = found.outputs["id"] if found is not None else target.known_outputs.get("id")
        if group is None:
            return None
        try:
            aws.write("ec2", "delete_security_group", GroupId=group)
        except MissingError:
            return None
        except ConflictError as error:
            return Waiting("InUse", str(error), requeue_after=10)
        return None

    def _create(self, aws: AwsClient, step: Step) -> str:
        specification = {"ResourceType": "security-group", "Tags": to_tag_list(step.node.desired["tags"])}
        answer = aws.write(
            "ec2",
            "create_security_group",
            GroupName=step.node.identity["name"],
            Description=f"Moorage: {step.owner.kind} {step.owner.name}",
            VpcId=step.node.identity["vpc"],
            TagSpecifications=[specification],
        )
        return str(answer["GroupId"])


def _observed(group: Mapping[str, Any]) -> Observed:
    ingress = [rule for permission in group["IpPermissions"] for rule in _flatten_rules(permission)]
    return Observed({"ingress": ingress, "tags": parse_tags(group.get("Tags", ()))}, {"id": group["GroupId"]})


def _flatten_rules(permission: Mapping[str, Any]) -> Iterator[dict[str, Value]]:
    """Yield one rule for each source: protocol, ports (none if the protocol has none), and source."""
    ports = {name: permission[field] for name, field in (("from", "FromPort"), ("to", "ToPort")) if field in permission}
    for field, name in _SOURCE_FIELDS.items():
        for source in permission.get(field, ()):
            yield {"protocol": permission["IpProtocol"], **ports, "source": source[name]}


def _to_ip_permission(rule: Mapping[str, Value]) -> dict[str, Any]:
    """Return a rule in AWS's form."""
    source = str(rule["source"])
    field = _source_field(source)
    ports = {field: rule[name] for name, field in (("from", "FromPort"), ("to", "ToPort")) if name in rule}
    return {"IpProtocol": rule["protocol"], **ports, field: [{_SOURCE_FIELDS[field]: source}]}


def _source_field(source: str) -> str:
    """Return the field of an IpPermission that takes a source: a group, a prefix list, or a range of addresses."""
    if source.startswith("sg-"):
        return "UserIdGroupPairs"
    if source.startswith("pl-"):
        return "PrefixListIds"
    return "Ipv6Ranges" if ":" in source else "IpRanges"


def _change_rules(
    error: type[ConflictError | MissingError],
    aws: AwsClient,
    operation: str,
    group: str,
    permissions: list[dict[str, Any]],
) -> None:
    """Add or remove rules.

    A rule that exists, or is absent, already fails its call harmlessly, so each is sent alone.
    """
    for permission in permissions:
        try:
            aws.write("ec2", operation, GroupId=group, IpPermissions=[permission])
        except error:
            continue
