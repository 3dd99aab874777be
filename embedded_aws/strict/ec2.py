"""EC2's network, where moto is more permissive or less exact than AWS.

That concerns security groups in use, equal rules, and half-done requests.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from moto.ec2.models import ec2_backends
from moto.ec2.models.security_groups import SecurityGroupRule

from embedded_aws.api_call import ApiCall, ApiError, ApiResponse

if TYPE_CHECKING:
    from embedded_aws.emulator import Emulator


def install(emulator: Emulator) -> None:
    """Register the handlers."""
    emulator.register_handler("ec2", "CreateSecurityGroup", _create_security_group)
    emulator.register_handler("ec2", "DeleteSecurityGroup", _delete_security_group)
    for direction in ("Ingress", "Egress"):
        emulator.register_handler("ec2", f"AuthorizeSecurityGroup{direction}", _authorize_rules)
        emulator.register_handler("ec2", f"RevokeSecurityGroup{direction}", _change_rules_atomically)
    # For rules whose source is a group, moto compares descriptions too, and doesn't return them.
    SecurityGroupRule.__eq__ = lambda rule, other: _rule_identity(rule) == _rule_identity(other)
    SecurityGroupRule.description = property(lambda rule: (rule.ip_range | rule.source_group).get("Description"))


def _backend(call: ApiCall) -> Any:
    return ec2_backends[call.account][call.region]


def _find_group(call: ApiCall) -> Any:
    """Return the group named by id, or by name in the default VPC. None leaves the error to moto."""
    name = call.params.get("GroupId") or call.params.get("GroupName")
    return _backend(call).get_security_group_by_name_or_id(name) if name else None


def _create_security_group(call: ApiCall) -> ApiResponse:
    """Refuse a VPC that doesn't exist (EC2 error codes: InvalidVpcID.NotFound)."""
    vpc = call.params.get("VpcId")
    if vpc and vpc not in _backend(call).vpcs:
        raise ApiError("InvalidVpcID.NotFound", f"The vpc ID '{vpc}' does not exist", status=400)
    return call.forward_to_moto()


def _delete_security_group(call: ApiCall) -> ApiResponse:
    """Refuse to delete a group in use.

    Source: DeleteSecurityGroup. A group that a network interface or another group's rule refers to fails with
    DependencyViolation. VPC links and tasks hold interfaces. A VPC's default group can't be deleted (CannotDelete).
    """
    group = _find_group(call)
    if group is None:
        return call.forward_to_moto()
    if group.is_default:
        message = f'the specified group: "{group.id}" name: "{group.name}" cannot be deleted by a user'
        raise ApiError("CannotDelete", message, status=400)
    attached = any(group.id in {g.id for g in interface.group_set} for interface in _backend(call).enis.values())
    if attached or _is_referenced(call, group):
        raise ApiError("DependencyViolation", f"resource {group.id} has a dependent object", status=400)
    return call.forward_to_moto()


def _is_referenced(call: ApiCall, group: Any) -> bool:
    others = [other for groups in _backend(call).groups.values() for other in groups.values() if other is not group]
    rules = [rule for other in others for rule in (*other.ingress_rules, *other.egress_rules)]
    return any(rule.source_group.get("GroupId") == group.id for rule in rules)


def _rule_identity(rule: Any) -> tuple[Any, ...]:
    """Return what makes two rules equal: everything but id, description and tags (InvalidPermission.Duplicate)."""
    source = (rule.cidr_ipv4, rule.cidr_ipv6, rule.prefix_list_id, rule.source_group.get("GroupId"))
    return (rule.is_egress, rule.ip_protocol, rule.from_port, rule.to_port, *source)


def _change_rules_atomically(call: ApiCall) -> ApiResponse:
    """Change all rules of the call or none. moto keeps the changes that it made before an error."""
    group = _find_group(call)
    before = (group.ingress_rules[:], group.egress_rules[:]) if group else ([], [])
    answer = call.forward_to_moto()
    if group and answer.status >= 300:
        group.ingress_rules, group.egress_rules = before
    return answer


def _authorize_rules(call: ApiCall) -> ApiResponse:
    """Return every rule that was created. moto returns those of the last permission only."""
    group = _find_group(call)
    known = {rule.id for rule in (*group.ingress_rules, *group.egress_rules)} if group else set()
    answer = _change_rules_atomically(call)
    if group is None or answer.status >= 300:
        return answer
    created = [rule for rule in (*group.ingress_rules, *group.egress_rules) if rule.id not in known]
    return call.build_response({"Return": True, "SecurityGroupRules": [_describe_rule(rule) for rule in created]})


def _describe_rule(rule: Any) -> dict[str, Any]:
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
