"""A model's roles: what they may do, and that nobody adds to it."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from controller.core.plan import Action
from controller.core.values import Key
from controller.errors import ForeignError
from controller.resources.iam_role import IamRole

OUTPUTS = {
    Key("bench", "s3/bucket", "/"): {"arn": "arn:aws:s3:::artifacts"},
    Key("bench", "ecr/repository", "housing-model"): {"arn": "arn:aws:ecr:us-east-1:123456789012:repository/r"},
    Key("bench", "logs/log-group", "housing-model"): {"arn": "arn:aws:logs:us-east-1:123456789012:log-group:g"},
}
# Actions that know no resources: https://docs.aws.amazon.com/service-authorization/latest/reference/
RESOURCELESS = {"ecr:GetAuthorizationToken", "cloudwatch:PutMetricData"}


@pytest.fixture
def roles(open_harness):
    return open_harness(IamRole, outputs=OUTPUTS)


def role_node(roles, context, name):
    return next(node for node in roles.nodes(context) if node.key.name == f"housing-model/{name}")


def statements(node):
    return [statement for policy in node.desired["policies"].values() for statement in policy["Statement"]]


@pytest.mark.parametrize("name", ["training", "task", "execution"])
def test_each_role(roles, service, with_tags, name):
    """Created with policy and tags, changed in place, deleted twice."""
    node = role_node(roles, service(), name)
    policy = {"Version": "2012-10-17", "Statement": [{"Effect": "Deny", "Action": "*", "Resource": "*"}]}
    changed = with_tags(node, team="b")
    changed = replace(changed, desired={**changed.desired, "policies": {"moorage": policy}})
    seen = roles.run_lifecycle(node, changed)
    assert seen.outputs["arn"] == f"arn:aws:iam::123456789012:role/{node.identity['name']}"
    assert len(node.identity["name"]) <= 64


def test_trust_is_for_one_service_and_this_account(roles, service):
    """No confused deputy: another account's training can't use our role."""
    context = service()
    trusted = {node.key.name.split("/")[1]: node.desired["trust"]["Statement"] for node in roles.nodes(context)}
    assert {name: found[0]["Principal"] for name, found in trusted.items()} == {
        "training": {"Service": "sagemaker.amazonaws.com"},
        "task": {"Service": "ecs-tasks.amazonaws.com"},
        "execution": {"Service": "ecs-tasks.amazonaws.com"},
    }
    for (statement,) in trusted.values():
        assert statement["Condition"]["StringEquals"] == {"aws:SourceAccount": "123456789012"}


def test_nothing_is_allowed_on_everything(roles, service):
    """Wildcards stand only where the action knows no resource, and never for an action."""
    for node in roles.nodes(service()):
        for statement in statements(node):
            assert not any("*" in action for action in statement["Action"])
            if statement["Resource"] == "*":
                assert set(statement["Action"]) <= RESOURCELESS
            else:
                assert "arn:aws:" in json.dumps(statement["Resource"])


def test_training_reaches_only_its_models_data(roles, service):
    """Reading below its own datasets, writing below its own jobs; a model with a longer name is another one."""
    allowed = {statement["Sid"]: statement for statement in statements(role_node(roles, service(), "training"))}
    assert allowed["ReadData"]["Resource"] == "arn:aws:s3:::artifacts/datasets/housing-model/*"
    assert allowed["WriteModel"]["Resource"] == "arn:aws:s3:::artifacts/training/moorage-housing-model-????????/*"
    assert allowed["Pull"]["Resource"] == "arn:aws:ecr:us-east-1:683313688378:repository/sagemaker-xgboost"


def test_the_jobs_name_fits_the_role(roles, service):
    """The pattern in the role is the one that training jobs are named by."""
    from fnmatch import fnmatchcase

    context = service()
    pattern = {s["Sid"]: s for s in statements(role_node(roles, context, "training"))}["WriteModel"]["Resource"]
    job = context.physical_name(context.fingerprint, limit=63)
    assert fnmatchcase(f"arn:aws:s3:::artifacts/training/{job}/output/model.tar.gz", pattern)


def test_named_training_role_is_not_created(roles, service):
    """The spec's own roleArn takes its place."""
    training = {
        "algorithm": {"name": "xgboost", "version": "3.2-0"},
        "hyperparameters": {"objective": "reg:squarederror", "num_round": 3},
        "roleArn": "arn:aws:iam::123456789012:role/ours",
    }
    names = [node.key.name for node in roles.nodes(service(spec={"training": training}))]
    assert names == ["housing-model/task", "housing-model/execution"]


def test_execution_reads_exactly_the_specs_secrets(roles, service):
    """By address, without the JSON key that a secret's address may end in; nothing of the kind without secrets."""
    secret = "arn:aws:secretsmanager:us-east-1:123456789012:secret:salt-AbCdEf"
    parameter = "arn:aws:ssm:us-east-1:123456789012:parameter/salt"
    secrets = [{"name": "A", "valueFrom": f"{secret}:key::"}, {"name": "B", "valueFrom": parameter}]
    node = role_node(roles, service(spec={"service": {"secrets": secrets}}), "execution")
    allowed = {statement["Sid"]: statement["Resource"] for statement in statements(node)}
    assert allowed["Secrets"] == [secret]
    assert allowed["Parameters"] == [parameter]
    assert "Secrets" not in {statement["Sid"] for statement in statements(role_node(roles, service(), "execution"))}


def test_manually_added_policies_are_removed(roles, service, embedded_aws):
    """An attached policy, a second inline policy, a wider trust: each is drift, and gone after one pass."""
    iam = embedded_aws.client("iam")
    node = role_node(roles, service(), "task")
    name = node.identity["name"]
    roles.apply(node)
    document = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
    managed = iam.create_policy(PolicyName="admin", PolicyDocument=json.dumps(document))["Policy"]["Arn"]
    iam.attach_role_policy(RoleName=name, PolicyArn=managed)
    iam.put_role_policy(RoleName=name, PolicyName="extra", PolicyDocument=json.dumps(document))
    trust = json.loads(json.dumps(node.desired["trust"]))
    trust["Statement"][0]["Principal"]["AWS"] = "arn:aws:iam::999999999999:root"
    iam.update_assume_role_policy(RoleName=name, PolicyDocument=json.dumps(trust))
    assert {change.path.split(".")[0] for change in roles.changes(node)} == {"attached", "policies", "trust"}
    roles.apply(node, Action.UPDATE)
    assert roles.changes(node) == ()
    assert iam.list_attached_role_policies(RoleName=name)["AttachedPolicies"] == []
    assert iam.list_role_policies(RoleName=name)["PolicyNames"] == []
    roles.delete(node)
    iam.delete_policy(PolicyArn=managed)


def test_a_foreign_role_is_refused(roles, service, embedded_aws):
    """Role names are global in an account: one without our tags is somebody else's."""
    iam = embedded_aws.client("iam")
    node = role_node(roles, service(), "task")
    iam.create_role(RoleName=node.identity["name"], AssumeRolePolicyDocument=json.dumps(node.desired["trust"]))
    with pytest.raises(ForeignError):
        roles.apply(node)
    assert roles.aws.call_counter.writes == 0
    iam.delete_role(RoleName=node.identity["name"])
