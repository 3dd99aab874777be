"""EC2's network, where moto is kinder than AWS, or less exact: security groups in use, rules that are the same, half-done requests."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from moto.ec2.models import ec2_backends
from moto.ec2.models.security_groups import SecurityGroupRule

from embedded_aws.call import Answer, Call, Refused

if TYPE_CHECKING:
    from embedded_aws.world import World


def install(world: World) -> None:
    """Register the handlers."""
    world.handle("ec2", "CreateSecurityGroup", _create)
    world.handle("ec2", "DeleteSecurityGroup", _delete)
    for direction in ("Ingress", "Egress"):
        world.handle("ec2", f"AuthorizeSecurityGroup{direction}", _authorize)
        world.handle("ec2", f"RevokeSecurityGroup{direction}", _all_or_nothing)
    # moto compares a rule's description too where its source is a group, and then doesn't show it.
    SecurityGroupRule.__eq__ = lambda rule, other: _identity(rule) == _identity(other)
    SecurityGroupRule.description = property(lambda rule: (rule.ip_range | rule.source_group).get("Description"))


def _backend(call: Call) -> Any:
    return ec2_backends[call.account][call.region]


def _group(call: Call) -> Any:
    """Return the group named by id, or by name in the default VPC; None leaves the refusal to moto."""
    name = call.params.get("GroupId") or call.params.get("GroupName")
    return _backend(call).get_security_group_by_name_or_id(name) if name else None


def _create(call: Call) -> Answer:
    """Refuse a VPC that isn't there (EC2 error codes: InvalidVpcID.NotFound)."""
    vpc = call.params.get("VpcId")
    if vpc and vpc not in _backend(call).vpcs:
        raise Refused("InvalidVpcID.NotFound", f"The vpc ID '{vpc}' does not exist", status=400)
    return call.forward()


def _delete(call: Call) -> Answer:
    """Refuse a group in use.

    Source: DeleteSecurityGroup: a group that is associated with a network interface, or that another group's rule refers to, fails with
    DependencyViolation. VPC links and tasks hold interfaces. A VPC's default group can't be deleted (CannotDelete).
    """
    group = _group(call)
    if group is None:
        return call.forward()
    if group.is_default:
        message = f'the specified group: "{group.id}" name: "{group.name}" cannot be deleted by a user'
        raise Refused("CannotDelete", message, status=400)
    attached = any(group.id in {g.id for g in interface.group_set} for interface in _backend(call).enis.values())
    if attached or _referenced(call, group):
        raise Refused("DependencyViolation", f"resource {group.id} has a dependent object", status=400)
    return call.forward()


def _referenced(call: Call, group: Any) -> bool:
    others = [other for groups in _backend(call).groups.values() for other in groups.values() if other is not group]
    rules = [rule for other in others for rule in (*other.ingress_rules, *other.egress_rules)]
    return any(rule.source_group.get("GroupId") == group.id for rule in rules)


def _identity(rule: Any) -> tuple[Any, ...]:
    """What makes two rules the same: everything but id, description and tags (InvalidPermission.Duplicate)."""
    source = (rule.cidr_ipv4, rule.cidr_ipv6, rule.prefix_list_id, rule.source_group.get("GroupId"))
    return (rule.is_egress, rule.ip_protocol, rule.from_port, rule.to_port, *source)


def _all_or_nothing(call: Call) -> Answer:
    """Change all rules of the call or none: moto keeps what it did before a refused one."""
    group = _group(call)
    before = (group.ingress_rules[:], group.egress_rules[:]) if group else ([], [])
    answer = call.forward()
    if group and answer.status >= 300:
        group.ingress_rules, group.egress_rules = before
    return answer


def _authorize(call: Call) -> Answer:
    """Answer with every rule that was made: moto names those of the last permission only."""
    group = _group(call)
    known = {rule.id for rule in (*group.ingress_rules, *group.egress_rules)} if group else set()
    answer = _all_or_nothing(call)
    if group is None or answer.status >= 300:
        return answer
    made = [rule for rule in (*group.ingress_rules, *group.egress_rules) if rule.id not in known]
    return call.result({"Return": True, "SecurityGroupRules": [_describe(rule) for rule in made]})


def _describe(rule: Any) -> dict[str, Any]:
    """Return a rule in botocore's output shape. Protocol -1 has ports -1 (SecurityGroupRule)."""
    described = {
        "SecurityGroupRuleId": rule.id,
        "GroupId": rule.group_id,
        "GroupOwnerId": rule.owner_id,
        "IsEgress": rule.is_egress,
        "IpProtocol": rule.ip_protocol,
        "FromPort": -1 if rule.from_port is None else rule.from_port,
        "ToPort": -1 if rule.to_port is None else rule.to_port,
        "CidrIpv4": rule.cidr_ipv4,
        "CidrIpv6": rule.cidr_ipv6,
        "PrefixListId": rule.prefix_list_id,
        "Description": rule.description,
        "Tags": [{"Key": tag["key"], "Value": tag["value"]} for tag in rule.get_tags()],
    }
    if rule.source_group:
        described["ReferencedGroupInfo"] = {name: rule.source_group.get(name) for name in ("GroupId", "UserId")}
    return {name: value for name, value in described.items() if value is not None}
