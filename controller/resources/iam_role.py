"""The IAM roles of a model: for its training, for its tasks, and for ECS to start them, each with least privilege.

A role's inline policies and attachments are owned: additions by others are removed.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

from controller.aws import AwsClient
from controller.aws.images import XGBOOST_ACCOUNTS
from controller.core.field_policy import FieldPolicy, normalise_json_document, subtree_patterns
from controller.core.graph import Node, Observed, Target
from controller.core.ownership import find_dropped_tags, parse_tags, to_tag_list
from controller.core.plan import Step
from controller.core.spec_context import SpecContext
from controller.core.status import Waiting
from controller.core.values import Format, Key, Ref, Value
from controller.errors import ConflictError, MissingError
from controller.resources.base import PermissionScope, Resource

_INLINE_POLICY_NAME = "moorage"
# https://docs.aws.amazon.com/IAM/latest/APIReference/API_GetAccountAuthorizationDetails.html, MaxItems
_PAGE_SIZE = 1000
_PULL_ACTIONS = ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]


class IamRole(Resource):
    """A role that one service may assume, for this account only."""

    kind = "iam/role"
    policy = FieldPolicy(
        normalise={"trust": normalise_json_document, "policies.*": normalise_json_document},
        sets=frozenset({"attached"}),
        owned=subtree_patterns("trust") | subtree_patterns("policies") | {"attached"},
    )
    permissions = {
        "iam.get_account_authorization_details": frozenset({"iam:GetAccountAuthorizationDetails"}),
        "iam.get_role": frozenset({"iam:GetRole"}),
        "iam.list_role_policies": frozenset({"iam:ListRolePolicies"}),
        "iam.get_role_policy": frozenset({"iam:GetRolePolicy"}),
        "iam.list_attached_role_policies": frozenset({"iam:ListAttachedRolePolicies"}),
        "iam.create_role": frozenset({"iam:CreateRole", "iam:TagRole"}),
        "iam.update_assume_role_policy": frozenset({"iam:UpdateAssumeRolePolicy"}),
        "iam.put_role_policy": frozenset({"iam:PutRolePolicy"}),
        "iam.delete_role_policy": frozenset({"iam:DeleteRolePolicy"}),
        "iam.detach_role_policy": frozenset({"iam:DetachRolePolicy"}),
        "iam.tag_role": frozenset({"iam:TagRole"}),
        "iam.untag_role": frozenset({"iam:UntagRole"}),
        "iam.delete_role": frozenset({"iam:DeleteRole"}),
    }
    scopes = {"iam:": (PermissionScope("iam::{account}:role/{name}"),)}

    def expand(self, context: SpecContext) -> Iterable[Node]:
        """Return a model's task and execution role, and its training role.

        A spec that names a role or an adopted job needs no training role.
        """
        trained = context.trainable_spec
        if trained is None:
            return
        if trained.training.role_arn is None and trained.training.job is None:
            yield self._node(
                context, "training", _trust_policy(context, "sagemaker"), list(_training_statements(context))
            )
        yield self._node(context, "task", _trust_policy(context, "ecs-tasks"), [])
        yield self._node(
            context, "execution", _trust_policy(context, "ecs-tasks"), list(_execution_statements(context))
        )

    def _node(self, context: SpecContext, part: str, trust: Value, statements: list[Value]) -> Node:
        policy = {"Version": "2012-10-17", "Statement": statements}
        desired = {
            "trust": trust,
            "policies": {_INLINE_POLICY_NAME: policy} if statements else {},
            "attached": [],
            "tags": context.tags(),
        }
        return Node(
            context.own_key(self.kind, part), {"name": context.physical_name(qualifier=part, limit=64)}, desired
        )

    def observe(self, aws: AwsClient, targets: Sequence[Target]) -> dict[Key, Observed]:
        """Read each role with all its policies.

        Many from one listing, and those that differ from what was applied once more.
        """
        listed = (
            _list_roles(aws, {target.identity["name"] for target in targets}) if self.should_list(targets) else None
        )
        found = {}
        for target in targets:
            name = target.identity["name"]
            if listed is not None:
                role = listed.get(name)
                if role is None and not target.applied_fields:
                    continue
                if role is not None and self.matches_applied(target, role.fields):
                    found[target.key] = role
                    continue
            try:
                found[target.key] = _describe_role(aws, name)
            except MissingError:
                continue
        return found

    def apply(self, aws: AwsClient, step: Step, seen: Observed | None) -> Observed:
        """Create the role or correct it, then its policies."""
        name, context = step.node.identity["name"], step.node.desired
        if seen is None:
            role = aws.write(
                "iam",
                "create_role",
                RoleName=name,
                AssumeRolePolicyDocument=json.dumps(context["trust"]),
                Description=f"Moorage: {step.node.key}",
                Tags=to_tag_list(context["tags"]),
            )["Role"]
            # The settings that CreateRole doesn't take.
            seen = Observed({**context, "policies": {}}, {"name": role["RoleName"], "arn": role["Arn"]})
        self._update_role(aws, name, step, seen)
        for policy, document in context["policies"].items():
            if normalise_json_document(seen.fields["policies"].get(policy)) != normalise_json_document(document):
                aws.write(
                    "iam", "put_role_policy", RoleName=name, PolicyName=policy, PolicyDocument=json.dumps(document)
                )
        _remove_policies(aws, name, seen, keep=context["policies"])
        return self.confirm(aws, step, returned_outputs=seen.outputs)

    def delete(self, aws: AwsClient, target: Target) -> Waiting | None:
        """Delete the role with its policies. IAM itself knows whether it exists; its reads may lag behind."""
        name = target.identity["name"]
        with suppress(MissingError):
            _remove_policies(aws, name, _describe_role(aws, name), keep={})
        try:
            aws.write("iam", "delete_role", RoleName=name)
        except MissingError:
            return None
        except ConflictError as error:
            return Waiting("InUse", str(error))
        return None

    def _update_role(self, aws: AwsClient, name: str, step: Step, seen: Observed) -> None:
        context = step.node.desired
        if normalise_json_document(seen.fields["trust"]) != normalise_json_document(context["trust"]):
            document = json.dumps(context["trust"])
            aws.write("iam", "update_assume_role_policy", RoleName=name, PolicyDocument=document)
        if seen.fields["tags"] != context["tags"]:
            aws.write("iam", "tag_role", RoleName=name, Tags=to_tag_list(context["tags"]))
            if absent := find_dropped_tags(step.changes):
                aws.write("iam", "untag_role", RoleName=name, TagKeys=absent)


def _describe_role(aws: AwsClient, name: str) -> Observed:
    role = aws.read("iam", "get_role", RoleName=name)["Role"]
    policies = {
        policy: aws.read("iam", "get_role_policy", RoleName=name, PolicyName=policy)["PolicyDocument"]
        for policy in aws.iter_items("iam", "list_role_policies", "PolicyNames", RoleName=name)
    }
    attached = aws.iter_items("iam", "list_attached_role_policies", "AttachedPolicies", RoleName=name)
    return _observed(role, policies, attached)


def _list_roles(aws: AwsClient, names: Collection[str]) -> dict[str, Observed]:
    """Return the named roles of the account: up to a thousand with each call."""
    wanted = {"Filter": ["Role"], "MaxItems": _PAGE_SIZE}
    return {
        role["RoleName"]: _observed(
            role,
            {policy["PolicyName"]: policy["PolicyDocument"] for policy in role.get("RolePolicyList", ())},
            role.get("AttachedManagedPolicies", ()),
        )
        for role in aws.list_items("iam", "get_account_authorization_details", "RoleDetailList", **wanted)
        if role["RoleName"] in names
    }


def _observed(
    role: Mapping[str, Any], policies: Mapping[str, Value], attached: Iterable[Mapping[str, str]]
) -> Observed:
    fields = {
        "trust": role["AssumeRolePolicyDocument"],
        "policies": dict(policies),
        "attached": [policy["PolicyArn"] for policy in attached],
        "tags": parse_tags(role.get("Tags", ())),
    }
    return Observed(fields, {"name": role["RoleName"], "arn": role["Arn"]})


def _remove_policies(aws: AwsClient, name: str, seen: Observed, *, keep: Mapping[str, Value]) -> None:
    """Remove every policy that isn't to be kept.

    One that is shown but absent doesn't stop the removal of the others.
    """
    for policy in seen.fields["policies"]:
        if policy not in keep:
            with suppress(MissingError):
                aws.write("iam", "delete_role_policy", RoleName=name, PolicyName=policy)
    for arn in seen.fields["attached"]:
        with suppress(MissingError):
            aws.write("iam", "detach_role_policy", RoleName=name, PolicyArn=arn)


def _trust_policy(context: SpecContext, service: str) -> dict[str, Any]:
    """Return who may assume the role: the service, and only on behalf of this account.

    https://docs.aws.amazon.com/IAM/latest/UserGuide/confused-deputy.html
    """
    condition = {"StringEquals": {"aws:SourceAccount": context.location.account}}
    principal = {"Service": f"{service}.amazonaws.com"}
    return _policy_document(
        [{"Effect": "Allow", "Principal": principal, "Action": "sts:AssumeRole", "Condition": condition}]
    )


def _policy_document(statements: list[Value]) -> dict[str, Any]:
    return {"Version": "2012-10-17", "Statement": statements}


def _training_statements(context: SpecContext) -> Iterator[Value]:
    """Yield what CreateTrainingJob needs of an execution role, limited to this model's data and jobs.

    https://docs.aws.amazon.com/sagemaker/latest/dg/sagemaker-roles.html#sagemaker-roles-createtrainingjob-perms
    """
    bucket = Ref(context.shared_key("s3/bucket"), "arn")
    data = f"datasets/{context.owner.name}/*"
    # Job names end in eight characters of hash; `*` would also match models whose names begin with this one's.
    jobs = f"training/moorage-{context.owner.name}-????????/*"
    yield _allow_statement("ReadData", ["s3:GetObject"], Format(f"{{}}/{data}", (bucket,)))
    listing = {"StringLike": {"s3:prefix": data}}
    yield _allow_statement("ListData", ["s3:ListBucket"], bucket, listing)
    yield _allow_statement("WriteModel", ["s3:AbortMultipartUpload", "s3:PutObject"], Format(f"{{}}/{jobs}", (bucket,)))
    logs = _arn(context, "logs", "log-group:/aws/sagemaker/TrainingJobs:*")
    actions = ["logs:CreateLogGroup", "logs:CreateLogStream", "logs:DescribeLogStreams", "logs:PutLogEvents"]
    yield _allow_statement("Log", actions, logs)
    # PutMetricData has no resource-level permissions; only the namespace can be limited.
    metrics = {"StringEquals": {"cloudwatch:namespace": "/aws/sagemaker/TrainingJobs"}}
    yield _allow_statement("Measure", ["cloudwatch:PutMetricData"], "*", metrics)
    yield _registry_login_statement()
    registry = XGBOOST_ACCOUNTS.get(context.location.region, context.location.account)
    yield _allow_statement(
        "Pull",
        _PULL_ACTIONS,
        f"arn:{context.location.partition}:ecr:{context.location.region}:{registry}:repository/sagemaker-xgboost",
    )


def _execution_statements(context: SpecContext) -> Iterator[Value]:
    """Yield what ECS needs to start a task: its image, its log group, its secrets.

    https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task_execution_IAM_role.html
    """
    yield _registry_login_statement()
    # A superseded repository contains what ECS may roll back to; its name differs in eight characters of hash.
    earlier = _arn(context, "ecr", f"repository/moorage-{context.owner.name}-????????")
    yield _allow_statement("Pull", _PULL_ACTIONS, [Ref(context.own_key("ecr/repository"), "arn"), earlier])
    group = Format("{}:*", (Ref(context.own_key("logs/log-group"), "arn"),))
    yield _allow_statement("Log", ["logs:CreateLogStream", "logs:PutLogEvents"], group)
    secrets = sorted(secret.value_from for secret in context.service.spec.service.secrets) if context.service else []
    for sid, action, service in (
        ("Secrets", "secretsmanager:GetSecretValue", "secretsmanager"),
        ("Parameters", "ssm:GetParameters", "ssm"),
    ):
        # A secret's address may end in a JSON key, a stage and a version, which aren't part of its ARN.
        arns = sorted({":".join(arn.split(":")[:7]) for arn in secrets if arn.split(":")[2] == service})
        if arns:
            yield _allow_statement(sid, [action], arns)


def _registry_login_statement() -> Value:
    # GetAuthorizationToken has no resource-level permissions.
    # https://docs.aws.amazon.com/AmazonECR/latest/userguide/security-iam.html
    return _allow_statement("Login", ["ecr:GetAuthorizationToken"], "*")


def _allow_statement(sid: str, actions: list[str], resource: Value, condition: Value = None) -> dict[str, Any]:
    statement = {"Sid": sid, "Effect": "Allow", "Action": actions, "Resource": resource}
    return {**statement, "Condition": condition} if condition is not None else statement


def _arn(context: SpecContext, service: str, rest: str) -> str:
    return f"arn:{context.location.partition}:{service}:{context.location.region}:{context.location.account}:{rest}"
