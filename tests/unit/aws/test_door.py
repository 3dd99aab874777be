"""Reads are repeated, writes are not; what goes through is counted, paged, and seen by hooks."""

from __future__ import annotations

import socket
from concurrent.futures import ThreadPoolExecutor

import pytest

from controller.aws import connect
from controller.errors import (
    AnswerLostError,
    ConflictError,
    CredentialsError,
    RejectedError,
    ThrottledError,
    UnavailableError,
)


@pytest.mark.parametrize(
    "lost",
    [
        {"status": 500},
        {"status": 503},
        {"body": b"", "cut": True},
        {"body": b'{"service', "cut": True},
        {"body": b"<html>a proxy's page</html>"},
    ],
)
def test_a_write_whose_answer_is_lost_is_sent_once(door, script, answer, lost):
    """5xx, a cut connection, half an answer and no answer of AWS's all mean: unknown; the request arrived once."""
    script.answers.append(answer(**lost))
    aws = door()
    with pytest.raises(AnswerLostError) as caught:
        aws.write("ecs", "create_service", serviceName="s", cluster="c")
    assert len(script.seen("ecs")) == 1
    assert caught.value.where == "ecs.create_service"
    assert aws.calls.write == 1


def test_a_throttled_write_is_sent_once_and_says_when_to_come_back(door, script, answer):
    """Nothing was done, so it is no lost answer; but repeating is the caller's business."""
    script.answers.append(answer.error("ThrottlingException", "Rate exceeded"))
    with pytest.raises(ThrottledError) as caught:
        door().write("ecs", "create_cluster", clusterName="c")
    assert caught.value.retry_after > 1
    assert len(script.seen("ecs")) == 1


@pytest.mark.parametrize(
    "fault", [{"status": 500}, {"body": b"", "cut": True}, {"body": b'{"clus', "cut": True}, {"body": b"<html>"}]
)
def test_a_read_is_repeated_until_it_is_answered(door, script, answer, fault):
    """Two failures, then the answer: three requests, one result, and every request counted.

    Half an answer must not pass for an empty one: what is missing from it would look absent.
    """
    script.answers.extend([answer(**fault), answer(**fault), answer.json({"clusterArns": ["a"]})])
    aws = door()
    assert aws.read("ecs", "list_clusters") == {"clusterArns": ["a"]}
    assert len(script.seen("ecs")) == 3
    assert aws.calls.by_name()["ecs.list_clusters"] == 3


def test_a_read_gives_up_in_bounded_time(door, script, answer):
    """A service that only fails is asked four times."""
    script.answers.extend([answer(500)] * 9)
    with pytest.raises(UnavailableError):
        door().read("ecs", "list_clusters")
    assert len(script.seen("ecs")) == 4


def test_a_refused_read_is_not_repeated(door, script, answer):
    """What AWS rejects once it rejects again."""
    script.answers.append(answer.error("InvalidParameterException", "no such thing as that"))
    with pytest.raises(RejectedError):
        door().read("ecs", "list_clusters")
    assert len(script.seen("ecs")) == 1


def test_read_refuses_operations_that_change_something(door, script):
    """A mutation can't slip into the lane that repeats calls."""
    with pytest.raises(ValueError, match="use write"):
        door().read("ecs", "create_service")
    assert script.requests == []


def test_no_listener_means_nothing_was_done():
    """A write that found nobody to connect to is unavailable, not lost."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        aws = connect(region="us-east-1", endpoint=f"http://127.0.0.1:{unused.getsockname()[1]}")
        with pytest.raises(UnavailableError):
            aws.write("sts", "assume_role", RoleArn="arn:aws:iam::123456789012:role/r", RoleSessionName="session")


def test_parameters_botocore_refuses_are_never_sent(door, script):
    """A missing parameter is rejected here, by name."""
    with pytest.raises(RejectedError, match="taskDefinition"):
        door().write("ecs", "run_task", cluster="c")
    assert script.seen("ecs") == []


def test_pages_follow_the_tokens(door, script, answer):
    """All items of all pages, each page a read that may be repeated."""
    script.answers.extend(
        [
            answer.json({"taskDefinitionArns": ["a", "b"], "nextToken": "2"}),
            answer(500),
            answer.json({"taskDefinitionArns": ["c"]}),
        ]
    )
    found = list(door().pages("ecs", "list_task_definitions", "taskDefinitionArns", familyPrefix="f"))
    assert found == ["a", "b", "c"]
    assert [request.json.get("nextToken") for request in script.seen("ecs")] == [None, "2", "2"]


@pytest.mark.parametrize(
    ("service", "operation", "key"),
    [
        ("ecs", "list_service_deployments", "serviceDeployments"),
        ("ecs", "list_clusters", "clusterArns"),
    ],
)
def test_pages_work_where_botocore_has_no_paginator(door, script, answer, service, operation, key):
    """The token's name is taken from the operation's input, so a second page is not lost."""
    script.answers.extend([answer.json({key: [{}], "nextToken": "2"}), answer.json({key: [{}]})])
    params = {"service": "arn"} if operation == "list_service_deployments" else {}
    assert len(list(door().pages(service, operation, key, **params))) == 2


def test_pages_of_an_operation_without_tokens_are_one(door, script, answer):
    """DescribeClusters has no pages: one call, every item."""
    script.answers.append(answer.json({"clusters": [{"clusterName": "a"}]}))
    assert list(door().pages("ecs", "describe_clusters", "clusters")) == [{"clusterName": "a"}]


def test_an_empty_page_has_no_items(door, script):
    """AWS leaves out empty lists."""
    assert list(door().pages("ecs", "list_tasks", "taskArns")) == []
    assert len(script.seen("ecs")) == 1


def test_the_account_is_asked_once_by_any_number_of_threads(door, script):
    """Sixteen threads, eight calls each: one GetCallerIdentity, and no call is lost from the count."""
    aws = door()
    with ThreadPoolExecutor(16) as pool:
        for done in [pool.submit(aws.read, "ecs", "describe_clusters") for _ in range(128)]:
            done.result()
    assert aws.calls.by_name() == {"ecs.describe_clusters": 128, "sts.get_caller_identity": 1}
    assert aws.calls.totals() == {"read": 129, "write": 0}
    assert len(script.seen("ecs")) == 128


def test_the_wrong_account_stops_everything(door, script):
    """Nothing reaches another account: the first call finds out, and isn't sent."""
    aws = door(expected_account="999999999999")
    with pytest.raises(CredentialsError, match="123456789012"):
        aws.write("ecs", "create_cluster", clusterName="c")
    assert script.seen("ecs") == []
    assert door(expected_account="123456789012").account == "123456789012"


def test_hooks_see_every_call_and_its_outcome(door, script, answer, recorder):
    """Before and after, answers and mapped errors alike."""
    hook = recorder()
    script.answers.append(answer.error("ConflictException"))
    aws = door(hooks=[hook])
    with pytest.raises(ConflictError):
        aws.write("ecs", "create_cluster")
    assert hook.seen[-2:] == [("before", "ecs.create_cluster"), ("ConflictError", "ecs.create_cluster")]
    assert ("dict", "sts.get_caller_identity") in hook.seen


def test_a_fault_before_keeps_the_call_from_aws(door, script, recorder):
    """A hook that raises before stands for a call that was never sent, and isn't counted."""
    aws = door()
    assert aws.account
    faulty = door(hooks=[recorder(before=UnavailableError("no route"))])
    with pytest.raises(UnavailableError):
        faulty.write("sts", "assume_role", RoleArn="arn:aws:iam::123456789012:role/r", RoleSessionName="session")
    assert faulty.calls.write == 0
    assert script.seen("ecs") == []


def test_a_fault_after_loses_the_answer_of_a_call_that_happened(door, script, recorder):
    """The write arrived, the caller doesn't learn it."""
    aws = door()
    lossy = door(hooks=[recorder(after=AnswerLostError("lost"))])
    lossy._account = aws.account
    with pytest.raises(AnswerLostError):
        lossy.write("ecs", "create_cluster", clusterName="c")
    assert len(script.seen("ecs")) == 1


def test_a_streamed_body_that_breaks_off_is_our_error(door, script, answer):
    """S3's body is read through the door too: half of it is an error, all of it is bytes."""
    script.answers.extend([answer(body=b"whole"), answer(body=b"half", cut=True)])
    aws = door()
    with aws.read("s3", "get_object", Bucket="b", Key="k")["Body"] as body:
        assert b"".join(body.chunks(2)) == b"whole"
    broken = aws.read("s3", "get_object", Bucket="b", Key="k")["Body"]
    with pytest.raises(UnavailableError):
        broken.read()


def test_buckets_and_hosts_stay_in_the_path_of_a_local_endpoint(door, script, answer):
    """No name may be put before 127.0.0.1: buckets go into the path, Cloud Map's host prefix is left out."""
    script.answers.append(answer(body=b""))
    aws = door()
    aws.read("s3", "head_object", Bucket="some-bucket", Key="k")
    assert script.seen("s3")[0].path == "/some-bucket/k"
    assert aws._client(_call("servicediscovery", "discover_instances")).meta.config.inject_host_prefix is False


def test_real_credentials_never_reach_a_local_endpoint(door, script):
    """The embedded AWS is asked with made-up keys, whatever the environment holds."""
    door().read("ecs", "list_clusters")
    assert {request.headers["Authorization"].split("Credential=")[1].split("/")[0] for request in script.requests} == {
        "moorage"
    }


def _call(service, operation):
    from controller.aws.calls import AwsCall

    return AwsCall("read", service, operation, {})


def test_a_watched_door_is_the_same_door(door, script, recorder):
    """More hooks see its calls, one count has them all, and the account isn't asked for again."""
    aws = door()
    assert aws.account
    hook = recorder()
    watched = aws.watched(hook)
    watched.read("ecs", "list_clusters")
    aws.read("ecs", "list_clusters")
    assert hook.seen == [("before", "ecs.list_clusters"), ("dict", "ecs.list_clusters")]
    assert aws.calls.by_name() == {"ecs.list_clusters": 2, "sts.get_caller_identity": 1}
