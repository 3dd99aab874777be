"""Security groups: one for the environment's VPC link, one for each model's tasks, which admits that link and nobody else."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from controller.aws import Aws
from controller.core.graph import Node, Observed, Target
from controller.core.ownership import dropped_tags, tag_list, tags_of
from controller.core.plan import Step
from controller.core.policy import FieldPolicy
from controller.core.status import Waiting
from controller.core.values import Key, Ref, Value
from controller.core.wanted import Wanted
from controller.errors import ConflictError, MissingError
from controller.resources.base import MADE_OURS, OURS, Resource, Scope

PORT = 8080
LINK = "vpc-link"
# https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/Using_Filtering.html#Filtering_Resources_CLI
_FILTER = 200

# Their ids are AWS's: what tells ours apart is the tag.
_GROUPS = "ec2:{region}:{account}:security-group/*"
# Field of an IpPermission → the field in it that says who is let in.
_SOURCES = {
    "UserIdGroupPairs": "GroupId",
    "IpRanges": "CidrIp",
    "Ipv6Ranges": "CidrIpv6",
    "PrefixListIds": "PrefixListId",
}


class SecurityGroup(Resource):
    """Ingress is ours alone: a rule that somebody opened by hand is closed again. Egress stays as AWS makes it: open."""

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
        "ec2:CreateSecurityGroup": (Scope("ec2:{region}:{account}:vpc/*"), Scope(_GROUPS, MADE_OURS)),
        "ec2:CreateTags": (Scope(_GROUPS, {"ec2:CreateAction": "CreateSecurityGroup"}), Scope(_GROUPS, OURS)),
        "ec2:": (Scope(_GROUPS, OURS),),
    }

    def expand(self, want: Wanted) -> Iterable[Node]:
        """The link's group for an Environment; the tasks' for a ModelService, unless the Environment names groups."""
        vpc = Ref(want.shared("ec2/network"), "vpc_id")
        link = want.shared(self.kind, LINK)
        if want.service is None:
            if want.makes_link:
                identity = {"name": want.physical_name(part=LINK, limit=255), "vpc": vpc}
                yield Node(link, identity, {"ingress": [], "tags": want.tags()})
        elif want.trained is not None and not want.environment.spec.network.security_groups:
            identity = {"name": want.physical_name(limit=255), "vpc": vpc}
            rule = {"protocol": "tcp", "from": PORT, "to": PORT, "source": Ref(link, "id")}
            yield Node(want.own(self.kind), identity, {"ingress": [rule], "tags": want.tags()})

    def observe(self, aws: Aws, targets: Sequence[Target]) -> dict[Key, Observed]:
        """All groups by name, as many at once as a filter takes; then by VPC."""
        names = sorted({target.identity["name"] for target in targets})
        groups = {}
        for start in range(0, len(names), _FILTER):
            some = [{"Name": "group-name", "Values": names[start : start + _FILTER]}]
            for group in aws.pages("ec2", "describe_security_groups", "SecurityGroups", Filters=some):
                groups[group["GroupName"], group["VpcId"]] = group
        return {
            target.key: _seen(group)
            for target in targets
            if (group := groups.get((target.identity["name"], target.identity["vpc"]))) is not None
        }

    def apply(self, aws: Aws, step: Step, seen: Observed | None) -> Observed:
        """Create the group or set its tags; then open what is missing and close what is too much."""
        want = step.node.desired
        if seen is None:
            seen = Observed({"ingress": [], "tags": want["tags"]}, {"id": self._create(aws, step)})
        group = seen.outputs["id"]
        if seen.fields["tags"] != want["tags"]:
            aws.write("ec2", "create_tags", Resources=[group], Tags=tag_list(want["tags"]))
            if gone := dropped_tags(step.changes):
                aws.write("ec2", "delete_tags", Resources=[group], Tags=[{"Key": name} for name in gone])
        missing = [_permission(rule) for rule in want["ingress"] if rule not in seen.fields["ingress"]]
        surplus = [_permission(rule) for rule in seen.fields["ingress"] if rule not in want["ingress"]]
        if missing:
            _tolerate(ConflictError, aws, "authorize_security_group_ingress", group, missing)
        if surplus:
            _tolerate(MissingError, aws, "revoke_security_group_ingress", group, surplus)
        return self.confirmed(aws, step, answered=seen.outputs)

    def delete(self, aws: Aws, target: Target) -> Waiting | None:
        """Delete the group once no network interface is in it and no other group names it."""
        found = self.observe(aws, [target]).get(target.key)
        # AWS may not show yet what it gave this id.
        group = found.outputs["id"] if found is not None else target.known.get("id")
        if group is None:
            return None
        try:
            aws.write("ec2", "delete_security_group", GroupId=group)
        except MissingError:
            return None
        except ConflictError as error:
            return Waiting("InUse", str(error), after=10)
        return None

    def _create(self, aws: Aws, step: Step) -> str:
        specification = {"ResourceType": "security-group", "Tags": tag_list(step.node.desired["tags"])}
        answer = aws.write(
            "ec2",
            "create_security_group",
            GroupName=step.node.identity["name"],
            Description=f"Moorage: {step.owner.kind} {step.owner.name}",
            VpcId=step.node.identity["vpc"],
            TagSpecifications=[specification],
        )
        return str(answer["GroupId"])


def _seen(group: Mapping[str, Any]) -> Observed:
    ingress = [rule for permission in group["IpPermissions"] for rule in _rules(permission)]
    return Observed({"ingress": ingress, "tags": tags_of(group.get("Tags", ()))}, {"id": group["GroupId"]})


def _rules(permission: Mapping[str, Any]) -> Iterator[dict[str, Value]]:
    """One rule for each source: protocol, ports (none where the protocol has none), and who."""
    ports = {name: permission[field] for name, field in (("from", "FromPort"), ("to", "ToPort")) if field in permission}
    for field, name in _SOURCES.items():
        for source in permission.get(field, ()):
            yield {"protocol": permission["IpProtocol"], **ports, "source": source[name]}


def _permission(rule: Mapping[str, Value]) -> dict[str, Any]:
    """A rule as AWS takes it."""
    source = str(rule["source"])
    field = (
        "UserIdGroupPairs"
        if source.startswith("sg-")
        else "PrefixListIds"
        if source.startswith("pl-")
        else "Ipv6Ranges"
        if ":" in source
        else "IpRanges"
    )
    ports = {field: rule[name] for name, field in (("from", "FromPort"), ("to", "ToPort")) if name in rule}
    return {"IpProtocol": rule["protocol"], **ports, field: [{_SOURCES[field]: source}]}


def _tolerate(
    error: type[ConflictError | MissingError], aws: Aws, operation: str, group: str, permissions: list[dict[str, Any]]
) -> None:
    """Open or close rules. One that is open, or gone, already is what we want; it fails its call, so it is sent alone."""
    for permission in permissions:
        try:
            aws.write("ec2", operation, GroupId=group, IpPermissions=[permission])
        except error:
            continue
