"""The HTTP server: what holds for every service."""

from __future__ import annotations

import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import pytest
from botocore.exceptions import ClientError, HTTPClientError


def refused(call, **arguments) -> tuple[str, int]:
    with pytest.raises(ClientError) as caught:
        call(**arguments)
    return caught.value.response["Error"]["Code"], caught.value.response["ResponseMetadata"]["HTTPStatusCode"]


def test_operations_that_moto_lacks_answer_501(embedded_aws) -> None:
    """A missing operation is an error in the service's own format, in each protocol, never HTML."""
    assert refused(embedded_aws.client("sagemaker").list_hubs) == ("NotImplemented", 501)
    assert refused(embedded_aws.client("elbv2").describe_trust_store_associations, TrustStoreArn="a") == (
        "NotImplemented",
        501,
    )
    assert refused(embedded_aws.client("apigatewayv2").get_models, ApiId="x") == ("NotImplemented", 501)


def test_faults_hit_the_nth_call(embedded_aws) -> None:
    """A throttle affects the second call only, with the service's own error, and is then exhausted."""
    embedded_aws.call_admin_endpoint("faults", "POST", [{"call": "ecs.ListClusters", "kind": "throttle", "nth": 2}])
    ecs = embedded_aws.client("ecs")
    ecs.list_clusters()
    assert refused(ecs.list_clusters) == ("ThrottlingException", 400)
    ecs.list_clusters()
    assert embedded_aws.call_admin_endpoint("faults") == []


def test_a_lost_response_keeps_its_effect(embedded_aws) -> None:
    """`lost` closes the connection after the call took effect. `error` refuses the call before that."""
    embedded_aws.call_admin_endpoint("faults", "POST", [{"call": "ecs.CreateCluster", "kind": "lost"}])
    ecs = embedded_aws.client("ecs")
    with pytest.raises(HTTPClientError):
        ecs.create_cluster(clusterName="lost")
    embedded_aws.call_admin_endpoint("faults", "POST", [{"call": "ecs.*", "kind": "error", "status": 503}])
    assert refused(ecs.create_cluster, clusterName="refused") == ("InternalFailure", 503)
    denied = {"kind": "error", "code": "AccessDeniedException", "message": "no", "status": 400}
    embedded_aws.call_admin_endpoint("faults", "POST", [{"call": "ecs.CreateCluster"} | denied])
    assert refused(ecs.create_cluster, clusterName="denied") == ("AccessDeniedException", 400)
    assert [arn.rpartition("/")[2] for arn in ecs.list_clusters()["clusterArns"]] == ["lost"]


def test_a_stale_read_repeats_the_last_answer(embedded_aws) -> None:
    """`stale` repeats, once, the response from before the change."""
    ecs = embedded_aws.client("ecs")
    before = ecs.list_clusters()["clusterArns"]
    ecs.create_cluster(clusterName="unseen")
    embedded_aws.call_admin_endpoint("faults", "POST", [{"call": "ecs.List*", "kind": "stale"}])
    assert ecs.list_clusters()["clusterArns"] == before
    assert len(ecs.list_clusters()["clusterArns"]) == len(before) + 1


def test_a_slow_response_is_unchanged(embedded_aws) -> None:
    """`slow` delays the response and no other call."""
    embedded_aws.call_admin_endpoint(
        "faults", "POST", [{"call": "sts.GetCallerIdentity", "kind": "slow", "seconds": 0.2}]
    )
    assert embedded_aws.client("sts").get_caller_identity()["Account"] == "123456789012"
    assert embedded_aws.call_admin_endpoint("faults") == []


@pytest.mark.parametrize("header", [{"Host": "evil.example"}, {"Origin": "https://evil.example"}])
def test_web_pages_are_refused(embedded_aws, header) -> None:
    """A rebound host name and a page of another origin reach nothing, least of all the reset."""
    embedded_aws.client("ecs").create_cluster(clusterName="precious")
    request = urllib.request.Request(f"{embedded_aws.endpoint}/_moorage/reset", b"", header, method="POST")
    with pytest.raises(urllib.error.HTTPError, match="403"):
        urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request)
    assert embedded_aws.client("ecs").describe_clusters(clusters=["precious"])["clusters"]


def test_an_invalid_fault_is_refused(embedded_aws) -> None:
    """An unknown kind is reported to the caller."""
    with pytest.raises(OSError, match="400"):
        embedded_aws.call_admin_endpoint("faults", "POST", [{"call": "ecs.*", "kind": "explode"}])


def test_calls_are_counted(embedded_aws) -> None:
    """Each operation is counted under botocore's service name, in query, JSON and REST protocols alike."""
    embedded_aws.call_admin_endpoint("calls", "DELETE")
    embedded_aws.client("sts").get_caller_identity()
    embedded_aws.client("s3").list_buckets()
    embedded_aws.client("apigatewayv2").get_apis()
    embedded_aws.client("logs").describe_log_groups()
    assert embedded_aws.call_admin_endpoint("calls") == {
        "total": 4,
        "calls": {
            "apigatewayv2.GetApis": 1,
            "logs.DescribeLogGroups": 1,
            "s3.ListBuckets": 1,
            "sts.GetCallerIdentity": 1,
        },
    }


def test_a_long_poll_does_not_hold_the_lock(embedded_aws) -> None:
    """A waiting consumer receives the message that another call sends meanwhile."""
    sqs = embedded_aws.client("sqs")
    queue = sqs.create_queue(QueueName="events")["QueueUrl"]
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(sqs.receive_message, QueueUrl=queue, WaitTimeSeconds=20)
        while not embedded_aws.call_admin_endpoint("calls")["calls"].get("sqs.ReceiveMessage"):
            time.sleep(0.01)
        embedded_aws.client("sqs").send_message(QueueUrl=queue, MessageBody="hello")
        assert [message["Body"] for message in waiting.result()["Messages"]] == ["hello"]


def test_reset_empties_the_account(embedded_aws) -> None:
    """After a reset the account is as new, with the resources that every AWS account has."""
    embedded_aws.client("s3").create_bucket(Bucket="forgotten")
    embedded_aws.call_admin_endpoint("reset", "POST")
    assert embedded_aws.client("s3").list_buckets()["Buckets"] == []
    assert [vpc["IsDefault"] for vpc in embedded_aws.client("ec2").describe_vpcs()["Vpcs"]] == [True]


def test_concurrent_writes_are_not_lost(embedded_aws) -> None:
    """Sixteen threads write 160 objects, and all of them are stored."""
    s3 = embedded_aws.client("s3", max_pool_connections=16)
    s3.create_bucket(Bucket="crowded")
    with ThreadPoolExecutor(16) as pool:
        for done in [pool.submit(s3.put_object, Bucket="crowded", Key=f"{n:03}", Body=b"x") for n in range(160)]:
            done.result()
    assert len(s3.list_objects_v2(Bucket="crowded")["Contents"]) == 160
