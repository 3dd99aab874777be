"""Security groups: refusals, calls that apply all of their rules or none, and the rules that are shown afterwards."""

from __future__ import annotations

import pytest
from botocore.exceptions import ClientError

from tests.unit.embedded_aws.conftest import until

HTTP = {
    "IpProtocol": "tcp",
    "FromPort": 80,
    "ToPort": 80,
    "IpRanges": [{"CidrIp": "10.0.0.0/8", "Description": "inside"}],
}


@pytest.fixture(scope="module")
def ec2(embedded_aws):
    return embedded_aws.client("ec2")


@pytest.fixture(scope="module")
def vpc(ec2) -> str:
    return ec2.describe_vpcs(Filters=[{"Name": "is-default", "Values": ["true"]}])["Vpcs"][0]["VpcId"]


@pytest.fixture
def group(ec2, vpc, request) -> str:
    return ec2.create_security_group(GroupName=request.node.name, Description="test", VpcId=vpc)["GroupId"]


def refusal(call, **arguments) -> str:
    with pytest.raises(ClientError) as caught:
        call(**arguments)
    return caught.value.response["Error"]["Code"]


def test_the_default_vpc_has_subnets(ec2, vpc) -> None:
    """A new account's Region has a default VPC with a subnet per zone, and a default group that can't be deleted."""
    assert len(ec2.describe_subnets(Filters=[{"Name": "vpc-id", "Values": [vpc]}])["Subnets"]) > 1
    default = ec2.describe_security_groups(Filters=[{"Name": "group-name", "Values": ["default"]}])["SecurityGroups"][0]
    assert refusal(ec2.delete_security_group, GroupId=default["GroupId"]) == "CannotDelete"


def test_a_vpc_must_exist(ec2) -> None:
    """Plain moto would create a group in a VPC that doesn't exist."""
    assert (
        refusal(ec2.create_security_group, GroupName="x", Description="x", VpcId="vpc-12345678")
        == "InvalidVpcID.NotFound"
    )


def test_rules_are_added_all_or_none(ec2, group) -> None:
    """One duplicate among several rules refuses them all. A successful call returns every rule that it created."""
    made = ec2.authorize_security_group_ingress(
        GroupId=group, IpPermissions=[HTTP, HTTP | {"FromPort": 81, "ToPort": 81}]
    )
    assert sorted(rule["FromPort"] for rule in made["SecurityGroupRules"]) == [80, 81]
    both = [HTTP | {"FromPort": 82, "ToPort": 82}, HTTP]
    assert (
        refusal(ec2.authorize_security_group_ingress, GroupId=group, IpPermissions=both)
        == "InvalidPermission.Duplicate"
    )
    both = [HTTP, HTTP | {"FromPort": 99, "ToPort": 99}]
    assert refusal(ec2.revoke_security_group_ingress, GroupId=group, IpPermissions=both) == "InvalidPermission.NotFound"
    rules = ec2.describe_security_group_rules(Filters=[{"Name": "group-id", "Values": [group]}])["SecurityGroupRules"]
    assert {rule["SecurityGroupRuleId"] for rule in rules if not rule["IsEgress"]} == {
        rule["SecurityGroupRuleId"] for rule in made["SecurityGroupRules"]
    }
    assert {rule.get("Description") for rule in rules if not rule["IsEgress"]} == {"inside"}


def test_a_description_does_not_distinguish_rules(ec2, vpc, group) -> None:
    """A rule from a group is a duplicate, and is revoked, whatever its description. The description is shown."""
    source = ec2.create_security_group(GroupName="source", Description="test", VpcId=vpc)["GroupId"]

    def permission(**extra):
        return [
            {"IpProtocol": "tcp", "FromPort": 8080, "ToPort": 8080, "UserIdGroupPairs": [{"GroupId": source} | extra]}
        ]

    ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=permission(Description="from the link"))
    rules = ec2.describe_security_group_rules(Filters=[{"Name": "group-id", "Values": [group]}])["SecurityGroupRules"]
    assert "from the link" in {rule.get("Description") for rule in rules}
    assert (
        refusal(ec2.authorize_security_group_ingress, GroupId=group, IpPermissions=permission())
        == "InvalidPermission.Duplicate"
    )
    assert refusal(ec2.delete_security_group, GroupId=source) == "DependencyViolation"
    ec2.revoke_security_group_ingress(GroupId=group, IpPermissions=permission())
    assert ec2.describe_security_groups(GroupIds=[group])["SecurityGroups"][0]["IpPermissions"] == []
    ec2.delete_security_group(GroupId=source)


def test_a_group_of_a_vpc_link_is_not_deleted(embedded_aws, ec2, group) -> None:
    """A VPC link's interfaces use its groups until the link is deleted; then the groups can be deleted too."""
    api = embedded_aws.client("apigatewayv2")
    subnet = ec2.describe_subnets()["Subnets"][0]["SubnetId"]
    link = api.create_vpc_link(Name="holder", SubnetIds=[subnet], SecurityGroupIds=[group])["VpcLinkId"]
    interfaces = ec2.describe_network_interfaces(Filters=[{"Name": "group-id", "Values": [group]}])["NetworkInterfaces"]
    assert [interface["SubnetId"] for interface in interfaces] == [subnet]
    assert refusal(ec2.delete_security_group, GroupId=group) == "DependencyViolation"
    api.delete_vpc_link(VpcLinkId=link)
    assert api.get_vpc_link(VpcLinkId=link)["VpcLinkStatus"] == "DELETING"
    assert refusal(ec2.delete_security_group, GroupId=group) == "DependencyViolation"
    until(lambda: not any(found["VpcLinkId"] == link for found in api.get_vpc_links()["Items"]))
    ec2.delete_security_group(GroupId=group)
