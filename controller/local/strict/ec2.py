"""EC2's network, where moto is kinder than AWS: security groups that are in use, and requests that are half done."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from moto.ec2.models import ec2_backends

from controller.local.call import Answer, Call, Refused

if TYPE_CHECKING:
    from controller.local.world import World


def install(world: World) -> None:
    """Register the handlers."""
    world.handle("ec2", "CreateSecurityGroup", _create)
    world.handle("ec2", "DeleteSecurityGroup", _delete)
    world.handle("ec2", "AuthorizeSecurityGroupIngress", _authorize)
    world.handle("ec2", "AuthorizeSecurityGroupEgress", _authorize)


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


def _authorize(call: Call) -> Answer:
    """Add all rules or none: moto keeps those before a refused one."""
    group = _group(call)
    before = (list(group.ingress_rules), list(group.egress_rules)) if group else None
    answer = call.forward()
    if group and before and answer.status >= 300:
        group.ingress_rules[:], group.egress_rules[:] = before
    return answer
