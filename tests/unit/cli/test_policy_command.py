"""`moorage policy`: its table for people, and its documents for `aws iam create-policy`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from controller.cli import run
from controller.cli.output.policy_view import policy_text
from controller.permissions import Grant

ROOT = Path(__file__).resolve().parents[3]
ENVIRONMENT = """
apiVersion: moorage/v1alpha1
kind: Environment
metadata: {name: default}
spec: {region: eu-central-1, account: "210987654321"}
---
"""


def test_each_resource_has_a_line_and_each_wildcard_a_reason() -> None:
    """An action appears once, with one resource a line and its condition beside it; `*` has a reason."""
    granted = [
        Grant("ecs:TagResource", "arn:aws:ecs:r:1:service/a", ()),
        Grant("ecs:TagResource", "arn:aws:ecs:r:1:cluster/a", ()),
        Grant("ec2:DescribeVpcs", "*", ()),
        Grant("iam:PassRole", "arn:aws:iam::1:role/a", (("iam:PassedToService", "ecs-tasks.amazonaws.com"),)),
    ]
    assert policy_text({"prod": granted}).plain.splitlines() == [
        "environment prod",
        "ACTION             WHERE                       ONLY IF",
        "ec2:DescribeVpcs   *                           # the default VPC; Cloud Map asks it too",
        "ecs:TagResource    arn:aws:ecs:r:1:cluster/a",
        "                   arn:aws:ecs:r:1:service/a",
        "iam:PassRole       arn:aws:iam::1:role/a       iam:PassedToService = ecs-tasks.amazonaws.com",
    ]


def test_the_documents_need_no_aws_where_the_account_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With spec.account, no call to AWS is made; each policy is complete and names account and region."""
    model = (ROOT / "specs/housing-model.yaml").read_text().replace("../data", str(ROOT / "data"))
    (tmp_path / "a.yaml").write_text(ENVIRONMENT + model)
    assert run(["policy", "-f", str(tmp_path), "--home", str(tmp_path), "-o", "json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    statements = [s for policy in printed["policies"] for s in policy["document"]["Statement"]]
    (job,) = [s for s in statements if "sagemaker:CreateTrainingJob" in s["Action"]]
    assert job["Resource"] == [
        "arn:aws:sagemaker:eu-central-1:210987654321:training-job/moorage-housing-model-????????",
        "arn:aws:sagemaker:eu-central-1:210987654321:training-job/moorage-housing-model-????????-*",
    ]
    for policy in printed["policies"]:
        sids = [s["Sid"] for s in policy["document"]["Statement"]]
        assert len(sids) == len(set(sids))
    assert printed["wildcards"]["ec2:DescribeVpcs"] == "the default VPC; Cloud Map asks it too"
