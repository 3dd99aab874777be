"""Cluster, log group, network, security groups, Cloud Map and VPC link: what an environment stands on."""

from __future__ import annotations

from dataclasses import replace

import pytest

from controller.aws import connect
from controller.core.graph import Observed, Target
from controller.core.plan import Action, Step
from controller.core.spec_context import SpecContext
from controller.core.status import Failed, Ready, Waiting
from controller.core.values import Key
from controller.errors import FailedError, ForeignError
from controller.resources.apigatewayv2_vpc_link import VpcLink
from controller.resources.ec2_network import VpcNetwork
from controller.resources.ec2_security_group import SecurityGroup
from controller.resources.ecs_cluster import EcsCluster
from controller.resources.logs_log_group import LogGroup
from controller.resources.servicediscovery_namespace import DiscoveryNamespace
from controller.resources.servicediscovery_service import DiscoveryService
from controller.spec.models import Environment

NETWORK = Key("bench", "ec2/network", "/")
LINK_GROUP = Key("bench", "ec2/security-group", "/vpc-link")
NAMESPACE = Key("bench", "servicediscovery/namespace", "/")


@pytest.fixture
def network(open_harness, environment):
    """The default VPC's outputs, by the network's key."""
    net = open_harness(VpcNetwork)
    return {NETWORK: dict(net.observe(net.node(environment())).outputs)}


def test_cluster(open_harness, environment, with_tags):
    """Created with its tags, changed in place, deleted twice; named as the Environment says."""
    clusters = open_harness(EcsCluster)
    node = clusters.node(environment())
    seen = clusters.run_lifecycle(node, with_tags(node, team="b"))
    assert seen.outputs["name"] == "models"
    assert isinstance(clusters.resource.ready(node, seen), Ready)


def test_a_dropped_tag_goes_and_a_foreign_one_stays(open_harness, environment, with_tags, embedded_aws):
    """Tags merge: what others put is left alone, what we put and no longer want is taken away."""
    clusters = open_harness(EcsCluster)
    node = clusters.node(environment())
    clusters.apply(with_tags(node, mine="1"))
    arn = clusters.observe(node).outputs["arn"]
    embedded_aws.client("ecs").tag_resource(resourceArn=arn, tags=[{"key": "theirs", "value": "2"}])
    assert [change.path for change in clusters.changes(node)] == ["tags.mine"]
    seen = clusters.apply(node, Action.UPDATE)
    assert "mine" not in seen.fields["tags"]
    assert seen.fields["tags"]["theirs"] == "2"
    assert clusters.changes(node) == ()
    clusters.delete(node)


def test_a_foreign_cluster_is_refused(open_harness, environment, embedded_aws):
    """One of the same name that carries no tag of ours: nothing is written."""
    embedded_aws.client("ecs").create_cluster(clusterName="models")
    clusters = open_harness(EcsCluster)
    node = clusters.node(environment())
    with pytest.raises(ForeignError):
        clusters.apply(node)
    assert clusters.aws.call_counter.writes == 0
    embedded_aws.client("ecs").delete_cluster(cluster="models")


def test_a_cluster_of_another_environment_is_refused(open_harness, environment, with_tags):
    """Our tags, another environment's name in them."""
    clusters = open_harness(EcsCluster)
    node = clusters.node(environment())
    clusters.apply(with_tags(node, **{"moorage:environment": "other"}))
    with pytest.raises(ForeignError, match="environment other"):
        clusters.apply(node)
    clusters.delete(node)


def test_log_group(open_harness, service, with_tags):
    """Created with retention and tags; both are put right when changed by hand; deleted twice."""
    groups = open_harness(LogGroup)
    node = groups.node(service())
    seen = groups.run_lifecycle(node, replace(with_tags(node, team="b"), desired={**node.desired, "retention": 7}))
    assert seen.outputs["name"] == "/moorage/bench/housing-model"
    assert not seen.outputs["arn"].endswith("*")
    assert seen.fields["retention"] == 7


def test_log_groups_are_listed_together(open_harness, service):
    """Two models, one listing; a group whose name only begins alike is another group."""
    groups = open_harness(LogGroup)
    nodes = [groups.node(service(name=name)) for name in ("one", "one-more")]
    groups.apply(nodes[1])
    assert groups.observe(nodes[0]) is None
    groups.apply(nodes[0])
    before = groups.aws.call_counter.counts_by_name()["logs.describe_log_groups"]
    found = groups.resource.observe(groups.aws, [Target(node.key, node.identity) for node in nodes])
    assert set(found) == {node.key for node in nodes}
    assert groups.aws.call_counter.counts_by_name()["logs.describe_log_groups"] == before + 1
    for node in nodes:
        groups.delete(node)


def test_the_default_network(open_harness, environment, embedded_aws):
    """All subnets of the default VPC; those in a zone without VPC links are left out for the link alone."""
    net = open_harness(VpcNetwork)
    outputs = net.observe(net.node(environment())).outputs
    subnets = embedded_aws.client("ec2").describe_subnets()["Subnets"]
    assert outputs["default"] is True
    assert outputs["subnet_ids"] == sorted(subnet["SubnetId"] for subnet in subnets)
    linkable = [subnet["SubnetId"] for subnet in subnets if subnet["AvailabilityZoneId"] != "use1-az3"]
    assert outputs["link_subnet_ids"] == sorted(linkable)
    assert len(linkable) < len(subnets)


def test_named_subnets(open_harness, environment, embedded_aws):
    """Only the named ones; a missing one and ones of two VPCs are said so."""
    ec2 = embedded_aws.client("ec2")
    default = ec2.describe_subnets()["Subnets"][0]
    other = ec2.create_vpc(CidrBlock="10.1.0.0/16")["Vpc"]["VpcId"]
    far = ec2.create_subnet(VpcId=other, CidrBlock="10.1.0.0/24")["Subnet"]["SubnetId"]
    net = open_harness(VpcNetwork)

    def see(*subnets):
        return net.observe(net.node(environment(spec={"network": {"subnets": list(subnets)}})))

    outputs = see(default["SubnetId"]).outputs
    assert (outputs["vpc_id"], outputs["subnet_ids"]) == (default["VpcId"], [default["SubnetId"]])
    assert outputs["default"] is False
    with pytest.raises(FailedError, match="subnet-0000"):
        see(default["SubnetId"], "subnet-0000")
    with pytest.raises(FailedError, match="several VPCs"):
        see(default["SubnetId"], far)


def test_a_region_without_a_default_vpc_says_what_to_do(open_harness, environment, embedded_aws):
    """The error names the field that helps."""
    ec2 = embedded_aws.session.client("ec2", region_name="eu-central-1", endpoint_url=embedded_aws.endpoint)
    for subnet in ec2.describe_subnets()["Subnets"]:
        ec2.delete_subnet(SubnetId=subnet["SubnetId"])
    net = open_harness(VpcNetwork)
    node = net.node(environment())
    aws = connect(region="eu-central-1", endpoint=embedded_aws.endpoint)
    with pytest.raises(FailedError, match=r"spec\.network\.subnets"):
        net.resource.observe(aws, [Target(node.key, node.identity)])


def test_security_groups(open_harness, environment, service, network, with_tags):
    """The link's group admits nobody; the tasks' group admits the link on 8080; in use, the link's group waits."""
    groups = open_harness(SecurityGroup, outputs=network)
    link = groups.node(environment())
    groups.outputs[LINK_GROUP] = dict(groups.apply(link).outputs)
    tasks = groups.node(service())
    seen = groups.apply(tasks)
    rule = {"protocol": "tcp", "from": 8080, "to": 8080, "source": groups.outputs[LINK_GROUP]["id"]}
    assert seen.fields["ingress"] == [rule]
    assert isinstance(groups.delete(link), Waiting)
    groups.delete(tasks)
    groups.run_lifecycle(tasks, with_tags(tasks, team="b"))
    assert groups.delete(link) is None
    assert groups.delete(link) is None


def test_security_groups_are_listed_two_hundred_at_a_time(open_harness, service, network):
    """EC2 takes no more values in a filter; the last of many is found as well as the first."""
    groups = open_harness(SecurityGroup, outputs={**network, LINK_GROUP: {"id": "sg-0123"}})
    nodes = [groups.node(service(name=f"model-{number}")) for number in range(201)]
    last = replace(nodes[-1], desired={**nodes[-1].desired, "ingress": []})
    groups.apply(last)
    before = groups.aws.call_counter.reads
    found = groups.resource.observe(groups.aws, [Target(node.key, node.identity) for node in nodes])
    assert set(found) == {last.key}
    assert groups.aws.call_counter.reads - before == 2
    groups.delete(last)


def test_a_rule_opened_by_hand_is_closed(open_harness, environment, service, network, embedded_aws):
    """Ingress is ours alone, whatever the kind of source; a closed rule of ours is opened again."""
    groups = open_harness(SecurityGroup, outputs=network)
    link, ec2 = groups.node(environment()), embedded_aws.client("ec2")
    groups.outputs[LINK_GROUP] = dict(groups.apply(link).outputs)
    tasks = groups.node(service())
    group = groups.apply(tasks).outputs["id"]
    ours = ec2.describe_security_groups(GroupIds=[group])["SecurityGroups"][0]["IpPermissions"]
    by_hand = [
        {"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]},
        {"IpProtocol": "-1", "Ipv6Ranges": [{"CidrIpv6": "::/0"}]},
    ]
    ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=by_hand)
    ec2.revoke_security_group_ingress(GroupId=group, IpPermissions=ours)
    assert [change.path for change in groups.changes(tasks)] == ["ingress"]
    groups.apply(tasks, Action.UPDATE)
    assert groups.changes(tasks) == ()
    left = ec2.describe_security_groups(GroupIds=[group])["SecurityGroups"][0]["IpPermissions"]
    assert [permission["FromPort"] for permission in left] == [8080]
    groups.delete(tasks)
    groups.delete(link)


def test_named_security_groups_replace_the_created_one(open_harness, service, network):
    """An Environment that names groups gets none made."""
    context = service()
    spec = {"network": {"securityGroups": ["sg-0123abcd"]}}
    document = context.environment.model_dump(by_alias=True, mode="json") | {"spec": spec}
    named = SpecContext(Environment.model_validate(document), context.service, context.location)
    assert open_harness(SecurityGroup, outputs=network).nodes(named) == []


def test_namespace_and_service(open_harness, environment, service, network, with_tags):
    """Made in the background, waited for; a namespace with a service in it is not deleted."""
    namespaces = open_harness(DiscoveryNamespace, outputs=network)
    node = namespaces.node(environment())
    namespaces.apply(node)
    outputs = dict(namespaces.wait_until_ready(node).outputs)
    assert outputs["name"].endswith(".internal")
    services = open_harness(DiscoveryService, outputs={NAMESPACE: outputs})
    own = services.node(service())
    services.apply(own)
    assert isinstance(namespaces.delete(node), Waiting)
    services.delete(own)
    changed = replace(with_tags(own, team="b"), desired={**own.desired, "records": [{"Type": "SRV", "TTL": 60}]})
    seen = services.run_lifecycle(own, changed)
    assert seen.fields["records"] == [{"Type": "SRV", "TTL": 60}]
    assert namespaces.changes(node) == ()
    namespaces.apply(with_tags(node, team="b"), Action.UPDATE)
    assert namespaces.observe(node).fields["tags"]["team"] == "b"
    namespaces.delete_until_absent(node)


def test_a_lost_answer_makes_no_second_namespace(open_harness, environment, network):
    """The request carries an id that follows from what is wanted, so sending it again is the same request."""
    namespaces = open_harness(DiscoveryNamespace, outputs=network)
    node = namespaces.node(environment())
    namespaces.apply(node)
    namespaces.wait_until_ready(node)
    namespaces.resource.apply(namespaces.aws, Step(Action.CREATE, node, node.key), None)
    listed = list(namespaces.aws.iter_items("servicediscovery", "list_namespaces", "Namespaces"))
    assert [found["Name"] for found in listed] == [node.identity["name"]]
    namespaces.delete_until_absent(node)


def test_vpc_link(open_harness, environment, network, with_tags):
    """Made, waited for, tagged in place; deleted and waited for, twice."""
    group = open_harness(SecurityGroup, outputs=network)
    link_group = group.node(environment())
    outputs = {**network, LINK_GROUP: dict(group.apply(link_group).outputs)}
    links = open_harness(VpcLink, outputs=outputs)
    node = links.node(environment())
    assert links.observe(node) is None
    links.apply(node)
    seen = links.wait_until_ready(node)
    assert seen.fields["subnets"] == network[NETWORK]["link_subnet_ids"]
    assert links.changes(node) == ()
    assert links.writes(lambda: links.apply(node)) == 0
    changed = with_tags(node, team="b")
    assert [change.path for change in links.changes(changed)] == ["tags.team"]
    links.apply(changed, Action.UPDATE)
    assert links.changes(changed) == ()
    links.delete_until_absent(changed)
    group.delete(link_group)


def test_duplicate_vpc_link_is_removed(open_harness, environment, network):
    """A call came through although its answer was lost and another was sent: the younger link goes, and
    nobody else's.
    """
    group = open_harness(SecurityGroup, outputs=network)
    link_group = group.node(environment())
    outputs = {**network, LINK_GROUP: dict(group.apply(link_group).outputs)}
    links = open_harness(VpcLink, outputs=outputs)
    node = links.node(environment())
    links.apply(node)
    first = links.wait_until_ready(node).outputs["id"]
    links.resource.apply(links.aws, Step(Action.CREATE, node, node.key), None)
    links.aws.write("apigatewayv2", "create_vpc_link", Name=node.identity["name"], SubnetIds=node.desired["subnets"])
    assert [change.path for change in links.changes(node)] == ["duplicates"]
    links.apply(node, Action.UPDATE)
    assert links.changes(node) == ()
    listed = list(links.aws.iter_items("apigatewayv2", "get_vpc_links", "Items"))
    left = [link["VpcLinkId"] for link in listed if link["VpcLinkStatus"] != "DELETING"]
    assert left[0] == first
    assert len(left) == 2
    links.aws.write("apigatewayv2", "delete_vpc_link", VpcLinkId=left[1])
    links.delete_until_absent(node)
    group.delete(link_group)


def test_other_subnets_make_another_link(open_harness, environment, network):
    """Subnets can't be changed, so they are part of the name; the default VPC's aren't."""
    links = open_harness(VpcLink, outputs={**network, LINK_GROUP: {"id": "sg-1"}})
    names = {
        links.node(environment(spec={"network": {"subnets": subnets}})).identity["name"]
        for subnets in ([], ["subnet-a1"], ["subnet-a1", "subnet-b2"])
    }
    assert len(names) == 3


@pytest.mark.parametrize(
    ("status", "verdict"), [("PENDING", Waiting), ("AVAILABLE", Ready), ("INACTIVE", Ready), ("FAILED", Failed)]
)
def test_a_links_status_decides(open_harness, environment, network, status, verdict):
    """A failed link says how to get rid of it; an idle one can be built upon."""
    links = open_harness(VpcLink, outputs={**network, LINK_GROUP: {"id": "sg-1"}})
    seen = Observed({}, {"status": status, "message": "", "id": "abc"})
    found = links.resource.ready(links.node(environment()), seen)
    assert isinstance(found, verdict)
    if status == "FAILED":
        assert "delete-vpc-link --vpc-link-id abc" in found.message
