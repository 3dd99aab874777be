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
def test_a_write_whose_answer_is_lost_is_sent_once(aws_client, scripted_server, scripted_answer, lost):
    """5xx, a cut connection, half an answer and no answer of AWS's all mean: unknown; the request arrived once."""
    scripted_server.answers.append(scripted_answer(**lost))
    aws = aws_client()
    with pytest.raises(AnswerLostError) as caught:
        aws.write("ecs", "create_service", serviceName="s", cluster="c")
    assert len(scripted_server.seen("ecs")) == 1
    assert caught.value.where == "ecs.create_service"
    assert aws.call_counter.writes == 1


def test_a_throttled_write_is_sent_once_and_says_when_to_come_back(aws_client, scripted_server, scripted_answer):
    """Nothing was done, so it is no lost answer; but repeating is the caller's business."""
    scripted_server.answers.append(scripted_answer.error("ThrottlingException", "Rate exceeded"))
    with pytest.raises(ThrottledError) as caught:
        aws_client().write("ecs", "create_cluster", clusterName="c")
    assert caught.value.retry_after > 1
    assert len(scripted_server.seen("ecs")) == 1


@pytest.mark.parametrize(
    "fault", [{"status": 500}, {"body": b"", "cut": True}, {"body": b'{"clus', "cut": True}, {"body": b"<html>"}]
)
def test_a_read_is_repeated_until_it_is_answered(aws_client, scripted_server, scripted_answer, fault):
    """Two failures, then the answer: three requests, one result, and every request counted.

    Half an answer must not pass for an empty one: what is missing from it would look absent.
    """
    scripted_server.answers.extend(
        [scripted_answer(**fault), scripted_answer(**fault), scripted_answer.json({"clusterArns": ["a"]})]
    )
    aws = aws_client()
    assert aws.read("ecs", "list_clusters") == {"clusterArns": ["a"]}
    assert len(scripted_server.seen("ecs")) == 3
    assert aws.call_counter.counts_by_name()["ecs.list_clusters"] == 3


def test_a_read_gives_up_in_bounded_time(aws_client, scripted_server, scripted_answer):
    """A service that only fails is asked four times."""
    scripted_server.answers.extend([scripted_answer(500)] * 9)
    with pytest.raises(UnavailableError):
        aws_client().read("ecs", "list_clusters")
    assert len(scripted_server.seen("ecs")) == 4


def test_a_refused_read_is_not_repeated(aws_client, scripted_server, scripted_answer):
    """What AWS rejects once it rejects again."""
    scripted_server.answers.append(scripted_answer.error("InvalidParameterException", "no such thing as that"))
    with pytest.raises(RejectedError):
        aws_client().read("ecs", "list_clusters")
    assert len(scripted_server.seen("ecs")) == 1


def test_read_refuses_operations_that_change_something(aws_client, scripted_server):
    """A mutation can't slip into the lane that repeats calls."""
    with pytest.raises(ValueError, match="use write"):
        aws_client().read("ecs", "create_service")
    assert scripted_server.requests == []


def test_refused_connection_means_unavailable():
    """A write that found nobody to connect to is unavailable, not lost."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        aws = connect(region="us-east-1", endpoint=f"http://127.0.0.1:{unused.getsockname()[1]}")
        with pytest.raises(UnavailableError):
            aws.write("sts", "assume_role", RoleArn="arn:aws:iam::123456789012:role/r", RoleSessionName="session")


def test_parameters_botocore_refuses_are_never_sent(aws_client, scripted_server):
    """A missing parameter is rejected here, by name."""
    with pytest.raises(RejectedError, match="taskDefinition"):
        aws_client().write("ecs", "run_task", cluster="c")
    assert scripted_server.seen("ecs") == []


def test_pages_follow_the_tokens(aws_client, scripted_server, scripted_answer):
    """All items of all pages, each page a read that may be repeated."""
    scripted_server.answers.extend(
        [
            scripted_answer.json({"taskDefinitionArns": ["a", "b"], "nextToken": "2"}),
            scripted_answer(500),
            scripted_answer.json({"taskDefinitionArns": ["c"]}),
        ]
    )
    found = list(aws_client().iter_items("ecs", "list_task_definitions", "taskDefinitionArns", familyPrefix="f"))
    assert found == ["a", "b", "c"]
    assert [request.json.get("nextToken") for request in scripted_server.seen("ecs")] == [None, "2", "2"]


@pytest.mark.parametrize(
    ("service", "operation", "key"),
    [
        ("ecs", "list_service_deployments", "serviceDeployments"),
        ("ecs", "list_clusters", "clusterArns"),
    ],
)
def test_pages_work_where_botocore_has_no_paginator(
    aws_client, scripted_server, scripted_answer, service, operation, key
):
    """The token's name is taken from the operation's input, so a second page is not lost."""
    scripted_server.answers.extend(
        [scripted_answer.json({key: [{}], "nextToken": "2"}), scripted_answer.json({key: [{}]})]
    )
    params = {"service": "arn"} if operation == "list_service_deployments" else {}
    assert len(list(aws_client().iter_items(service, operation, key, **params))) == 2


def test_pages_of_an_operation_without_tokens_are_one(aws_client, scripted_server, scripted_answer):
    """DescribeClusters has no pages: one call, every item."""
    scripted_server.answers.append(scripted_answer.json({"clusters": [{"clusterName": "a"}]}))
    assert list(aws_client().iter_items("ecs", "describe_clusters", "clusters")) == [{"clusterName": "a"}]


def test_an_empty_page_has_no_items(aws_client, scripted_server):
    """AWS leaves out empty lists."""
    assert list(aws_client().iter_items("ecs", "list_tasks", "taskArns")) == []
    assert len(scripted_server.seen("ecs")) == 1


def test_the_account_is_asked_once_by_any_number_of_threads(aws_client, scripted_server):
    """Sixteen threads, eight calls each: one GetCallerIdentity, and no call is lost from the count."""
    aws = aws_client()
    with ThreadPoolExecutor(16) as pool:
        for done in [pool.submit(aws.read, "ecs", "describe_clusters") for _ in range(128)]:
            done.result()
    assert aws.call_counter.counts_by_name() == {"ecs.describe_clusters": 128, "sts.get_caller_identity": 1}
    assert aws.call_counter.counts_by_kind() == {"read": 129, "write": 0}
    assert len(scripted_server.seen("ecs")) == 128


def test_wrong_account_blocks_every_call(aws_client, scripted_server):
    """Nothing reaches another account: the first call finds out, and isn't sent."""
    aws = aws_client(expected_account="999999999999")
    with pytest.raises(CredentialsError, match="123456789012"):
        aws.write("ecs", "create_cluster", clusterName="c")
    assert scripted_server.seen("ecs") == []
    assert aws_client(expected_account="123456789012").account == "123456789012"


def test_hooks_see_every_call_and_its_outcome(aws_client, scripted_server, scripted_answer, recorder):
    """Before and after, answers and mapped errors alike."""
    hook = recorder()
    scripted_server.answers.append(scripted_answer.error("ConflictException"))
    aws = aws_client(hooks=[hook])
    with pytest.raises(ConflictError):
        aws.write("ecs", "create_cluster")
    assert hook.seen[-2:] == [("before", "ecs.create_cluster"), ("ConflictError", "ecs.create_cluster")]
    assert ("dict", "sts.get_caller_identity") in hook.seen


def test_hook_error_before_prevents_the_call(aws_client, scripted_server, recorder):
    """A hook that raises before stands for a call that was never sent, and isn't counted."""
    aws = aws_client()
    assert aws.account
    faulty = aws_client(hooks=[recorder(before=UnavailableError("no route"))])
    with pytest.raises(UnavailableError):
        faulty.write("sts", "assume_role", RoleArn="arn:aws:iam::123456789012:role/r", RoleSessionName="session")
    assert faulty.call_counter.writes == 0
    assert scripted_server.seen("ecs") == []


def test_hook_error_after_loses_the_answer(aws_client, scripted_server, recorder):
    """The write arrived, the caller doesn't learn it."""
    aws = aws_client()
    lossy = aws_client(hooks=[recorder(after=AnswerLostError("lost"))])
    lossy._account = aws.account
    with pytest.raises(AnswerLostError):
        lossy.write("ecs", "create_cluster", clusterName="c")
    assert len(scripted_server.seen("ecs")) == 1


def test_a_streamed_body_that_breaks_off_is_our_error(aws_client, scripted_server, scripted_answer):
    """S3's body is read through the door too: half of it is an error, all of it is bytes."""
    scripted_server.answers.extend([scripted_answer(body=b"whole"), scripted_answer(body=b"half", cut=True)])
    aws = aws_client()
    with aws.read("s3", "get_object", Bucket="b", Key="k")["Body"] as body:
        assert b"".join(body.chunks(2)) == b"whole"
    broken = aws.read("s3", "get_object", Bucket="b", Key="k")["Body"]
    with pytest.raises(UnavailableError):
        broken.read()


def test_buckets_and_hosts_stay_in_the_path_of_a_local_endpoint(aws_client, scripted_server, scripted_answer):
    """No name may be put before 127.0.0.1: buckets go into the path, Cloud Map's host prefix is left out."""
    scripted_server.answers.append(scripted_answer(body=b""))
    aws = aws_client()
    aws.read("s3", "head_object", Bucket="some-bucket", Key="k")
    assert scripted_server.seen("s3")[0].path == "/some-bucket/k"
    assert aws._client(_call("servicediscovery", "discover_instances")).meta.config.inject_host_prefix is False


def test_real_credentials_never_reach_a_local_endpoint(aws_client, scripted_server):
    """The embedded AWS is asked with made-up keys, whatever the environment holds."""
    aws_client().read("ecs", "list_clusters")
    assert {
        request.headers["Authorization"].split("Credential=")[1].split("/")[0] for request in scripted_server.requests
    } == {"moorage"}


def _call(service, operation):
    from controller.aws.calls import AwsCall

    return AwsCall("read", service, operation, {})


def test_client_with_more_hooks_shares_its_state(aws_client, scripted_server, recorder):
    """More hooks see its calls, one count has them all, and the account isn't asked for again."""
    aws = aws_client()
    assert aws.account
    hook = recorder()
    watched = aws.with_hooks(hook)
    watched.read("ecs", "list_clusters")
    aws.read("ecs", "list_clusters")
    assert hook.seen == [("before", "ecs.list_clusters"), ("dict", "ecs.list_clusters")]
    assert aws.call_counter.counts_by_name() == {"ecs.list_clusters": 2, "sts.get_caller_identity": 1}
