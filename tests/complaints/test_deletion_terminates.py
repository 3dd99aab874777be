"""Complaint 5: destroy hangs."""

from __future__ import annotations

import pytest

from tests.complaints.conftest import reconcile_collecting_steps
from tests.demo import Demo, Model

pytestmark = pytest.mark.e2e
MODEL = Model()
PASSES = 40


def test_deletion_completes_or_names_the_blocker(settled: Demo) -> None:
    """terraform-provider-aws#3414.

    With tasks running, and with somebody else's security group that names ours, which EC2 then doesn't delete: every
    pass comes back, all else is gone, and what is waited for is named, as it is when time runs out (`test_passes.py`).
    Once nothing holds it any more, the rest goes.
    """
    aws = settled.aws_client()
    ours = next(
        r for r in settled.store.list_records("default") if r.key == MODEL.key._replace(kind="ec2/security-group")
    )
    vpc = str(ours.identity["vpc"])
    theirs = aws.write("ec2", "create_security_group", GroupName="theirs", Description="theirs", VpcId=vpc)["GroupId"]
    rule = [{"IpProtocol": "tcp", "FromPort": 1, "ToPort": 1, "UserIdGroupPairs": [{"GroupId": ours.outputs["id"]}]}]
    aws.write("ec2", "authorize_security_group_ingress", GroupId=theirs, IpPermissions=rule)
    settled.models = ()
    reconciler, wanted = settled.reconciler(), settled.spec_contexts()
    done = [reconciler.reconcile(wanted, removed_specs=[MODEL.key]) for _ in range(PASSES)]
    assert done[-1].completed_steps == ()
    assert done[-1].requeue_after is not None
    assert not list(aws.iter_items("ecs", "list_services", "serviceArns", cluster="models"))
    assert [step.node.key.kind for step in done[-1].plan.steps] == ["ec2/security-group"]
    (reported,) = done[-1].waiting_for
    assert str(ours.outputs["id"]) in reported
    aws.write("ec2", "revoke_security_group_ingress", GroupId=theirs, IpPermissions=rule)
    aws.write("ec2", "delete_security_group", GroupId=theirs)
    assert [step.node.key.kind for step in reconcile_collecting_steps(settled, removed_models=(MODEL,))] == [
        "ec2/security-group"
    ]
    assert {record.owner.kind for record in settled.store.list_records("default")} == {"Environment"}
