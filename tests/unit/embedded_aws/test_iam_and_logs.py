"""IAM, STS and CloudWatch Logs of the embedded AWS."""

from __future__ import annotations

import json
import time

import pytest
from botocore.exceptions import ClientError

WORDS = ("first", "second", "third")


def refusal(call, **arguments) -> str:
    with pytest.raises(ClientError) as caught:
        call(**arguments)
    return caught.value.response["Error"]["Code"]


def trust(principal: dict) -> str:
    return json.dumps({"Statement": [{"Effect": "Allow", "Principal": principal, "Action": "sts:AssumeRole"}]})


@pytest.mark.parametrize("document", ["{}", "{", '{"Statement": [{"Effect": "Allow", "Action": "sts:AssumeRole"}]}'])
def test_an_invalid_trust_policy_is_refused(embedded_aws, document) -> None:
    """A document without statements or principals creates no role."""
    iam = embedded_aws.client("iam")
    assert refusal(iam.create_role, RoleName="broken", AssumeRolePolicyDocument=document) == "MalformedPolicyDocument"
    assert refusal(iam.get_role, RoleName="broken") == "NoSuchEntity"


def test_assume_role_needs_an_existing_role_that_trusts_the_caller(embedded_aws) -> None:
    """A user can assume neither a missing role nor one that trusts only a service."""
    iam, sts = embedded_aws.client("iam"), embedded_aws.client("sts")
    arns = {}
    for name, principal in (("person", {"AWS": "123456789012"}), ("service", {"Service": "ecs-tasks.amazonaws.com"})):
        arns[name] = iam.create_role(RoleName=name, AssumeRolePolicyDocument=trust(principal))["Role"]["Arn"]
    assert sts.assume_role(RoleArn=arns["person"], RoleSessionName="test")["Credentials"]["SessionToken"]
    assert refusal(sts.assume_role, RoleArn=arns["service"], RoleSessionName="test") == "AccessDenied"
    assert refusal(sts.assume_role, RoleArn=arns["person"] + "s", RoleSessionName="test") == "AccessDenied"


def test_a_role_is_deleted_after_its_policies(embedded_aws) -> None:
    """AWS's managed policies can be attached, and a role is deleted only after its policies."""
    iam = embedded_aws.client("iam")
    managed = "arn:aws:iam::aws:policy/service-role/AmazonECSTaskExecutionRolePolicy"
    iam.create_role(RoleName="ordered", AssumeRolePolicyDocument=trust({"Service": "ecs-tasks.amazonaws.com"}))
    iam.attach_role_policy(RoleName="ordered", PolicyArn=managed)
    assert refusal(iam.delete_role, RoleName="ordered") == "DeleteConflict"
    iam.detach_role_policy(RoleName="ordered", PolicyArn=managed)
    iam.delete_role(RoleName="ordered")


def test_logs_are_read_by_stream_and_by_prefix(embedded_aws) -> None:
    """Events are paged to their end. A prefix selects streams and merges them by time; an unknown prefix finds none."""
    logs = embedded_aws.client("logs")
    logs.create_log_group(logGroupName="/ecs/web")
    now = int(time.time() * 1000)
    for offset, stream in enumerate(("web/a", "web/b", "other/c")):
        logs.create_log_stream(logGroupName="/ecs/web", logStreamName=stream)
        events = [{"timestamp": now + 10 * n + offset, "message": f"{stream} {word}"} for n, word in enumerate(WORDS)]
        logs.put_log_events(logGroupName="/ecs/web", logStreamName=stream, logEvents=events)
    read = logs.get_log_events(logGroupName="/ecs/web", logStreamName="web/a", startFromHead=True, limit=2)
    rest = logs.get_log_events(logGroupName="/ecs/web", logStreamName="web/a", nextToken=read["nextForwardToken"])
    assert [event["message"] for event in read["events"] + rest["events"]] == [
        "web/a first",
        "web/a second",
        "web/a third",
    ]

    def found(**which) -> list[str]:
        return [event["message"] for event in logs.filter_log_events(logGroupName="/ecs/web", **which)["events"]]

    assert found(logStreamNamePrefix="web/") == [f"{stream} {word}" for word in WORDS for stream in ("web/a", "web/b")]
    assert found(logStreamNamePrefix="none/") == []
    assert found(logStreamNames=["other/c"], filterPattern="third") == ["other/c third"]


def test_retention_has_allowed_lengths(embedded_aws) -> None:
    """14 days are allowed, two days are not. The list of log groups shows the setting."""
    logs = embedded_aws.client("logs")
    logs.create_log_group(logGroupName="/kept")
    assert refusal(logs.put_retention_policy, logGroupName="/kept", retentionInDays=2) == "InvalidParameterException"
    logs.put_retention_policy(logGroupName="/kept", retentionInDays=14)
    assert logs.describe_log_groups(logGroupNamePrefix="/kept")["logGroups"][0]["retentionInDays"] == 14
