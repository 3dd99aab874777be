"""What every type of the environment chain owes alike: nothing foreign is touched, and a crash anywhere is
made good.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace

import pytest

from controller.aws import Hook
from controller.core.plan import Action, Step
from controller.core.spec_context import ResolvedInputs
from controller.core.values import Blob, Key
from controller.errors import AnswerLostError, AwsError, ForeignError
from controller.resources.apigatewayv2_vpc_link import VpcLink
from controller.resources.ec2_network import VpcNetwork
from controller.resources.ec2_security_group import SecurityGroup
from controller.resources.ecs_cluster import EcsCluster
from controller.resources.iam_role import IamRole
from controller.resources.logs_log_group import LogGroup
from controller.resources.s3_bucket import ArtifactBucket
from controller.resources.s3_object import DatasetObject
from controller.resources.servicediscovery_namespace import DiscoveryNamespace
from controller.resources.servicediscovery_service import DiscoveryService

TYPES = (
    ArtifactBucket,
    DatasetObject,
    IamRole,
    EcsCluster,
    LogGroup,
    SecurityGroup,
    DiscoveryNamespace,
    DiscoveryService,
    VpcLink,
)
ROWS = Blob(hashlib.sha256(b"rows").hexdigest(), 4, lambda: b"rows")


@pytest.fixture(scope="module")
def outputs(embedded_aws):
    """What the nodes under test refer to, made by hand."""
    ec2, cloud_map = embedded_aws.client("ec2"), embedded_aws.client("servicediscovery")
    vpc = ec2.describe_vpcs()["Vpcs"][0]["VpcId"]
    subnets = [subnet["SubnetId"] for subnet in ec2.describe_subnets()["Subnets"][:2]]
    group = ec2.create_security_group(GroupName="by-hand", Description="d", VpcId=vpc)["GroupId"]
    operation = cloud_map.create_private_dns_namespace(Name="by.hand", Vpc=vpc)["OperationId"]
    namespace = cloud_map.get_operation(OperationId=operation)["Operation"]["Targets"]["NAMESPACE"]
    embedded_aws.client("s3").create_bucket(Bucket="by-hand")
    return {
        Key("bench", "ec2/network", "/"): {"vpc_id": vpc, "subnet_ids": subnets, "link_subnet_ids": subnets},
        Key("bench", "ec2/security-group", "/vpc-link"): {"id": group},
        Key("bench", "servicediscovery/namespace", "/"): {"id": namespace},
        Key("bench", "s3/bucket", "/"): {"name": "by-hand", "arn": "arn:aws:s3:::by-hand"},
        Key("bench", "ecr/repository", "housing-model"): {"arn": "arn:aws:ecr:us-east-1:123456789012:repository/r"},
        Key("bench", "logs/log-group", "housing-model"): {
            "arn": "arn:aws:logs:us-east-1:123456789012:log-group:/moorage/bench/housing-model"
        },
    }


@pytest.fixture(params=TYPES, ids=lambda kind: kind.kind)
def type_and_node(request, open_harness, outputs, environment, service):
    """A bench for each type in turn, and one node of it; what is left over is removed."""
    made = open_harness(request.param, outputs=outputs)
    contexts = environment(), service(inputs=ResolvedInputs(channels={"train": ROWS}))
    node = [node for context in contexts for node in made.nodes(context)][-1]
    yield made, node
    made.aws._hooks = ()
    made.delete_until_absent(node)


class LosesAnswer(Hook):
    """Loses the answer of the n-th write, as a crash right after it would."""

    def __init__(self, writes: int) -> None:
        self.left = writes

    def after(self, call, answer):
        del answer
        self.left -= call.kind == "write"
        if self.left == 0 and call.kind == "write":
            raise AnswerLostError("cut", where=call.name)


def test_every_crash_point_converges(type_and_node):
    """Whichever write's answer is lost, the next pass finds out by looking, and ends where an undisturbed run ends."""
    harness, node = type_and_node
    undisturbed = harness.writes(lambda: harness.apply(node))
    fields = harness.wait_until_ready(node).fields
    for cut in range(1, undisturbed + 1):
        harness.delete_until_absent(node)
        harness.aws._hooks = (LosesAnswer(cut),)
        with pytest.raises(AnswerLostError):
            harness.apply(node)
        harness.aws._hooks = ()
        harness.apply(node, Action.UPDATE)
        assert set(harness.wait_until_ready(node).fields) == set(fields)
        assert harness.changes(node) == ()


def test_create_is_idempotent(type_and_node):
    """Applied a second time as if nothing were there: the same thing, once, or a refusal that waiting resolves."""
    harness, node = type_and_node
    harness.apply(node)
    before = harness.wait_until_ready(node)
    try:
        harness.resource.apply(harness.aws, Step(Action.CREATE, node, node.key), None)
    except AwsError as error:
        assert error.remedy.name in ("SOON", "DEPENDENCY")  # noqa: PT017  (either way is right)
    assert harness.wait_until_ready(node).outputs == before.outputs


def test_foreign_object_is_refused(type_and_node):
    """The same thing under another owner's tags: nothing is written."""
    harness, node = type_and_node
    if "tags" not in node.desired:
        pytest.skip("owned through its parent")
    theirs = {**node.desired["tags"], "moorage:owner": "ModelService/other"}
    harness.apply(replace(node, desired={**node.desired, "tags": theirs}))
    harness.wait_until_ready(node)

    def attempt():
        with pytest.raises(ForeignError, match="ModelService/other"):
            harness.apply(node)

    assert harness.writes(attempt) == 0


def test_nodes_are_json_serializable(type_and_node):
    """Fields, identity and outputs are JSON, so that store, plan and status can hold them."""
    harness, node = type_and_node
    seen = harness.apply(node)
    blobs = {name: value for name, value in node.desired.items() if not isinstance(value, Blob)}
    json.dumps([blobs, node.identity, seen.fields, seen.outputs])


def test_every_environment_type_is_covered():
    """The network is only looked at; all others are above."""
    assert VpcNetwork.read_only
    assert len(TYPES) == 9
