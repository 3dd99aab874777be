"""Hints from outside: whose they are, what they wake, and that nothing in them is believed."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
from io import BytesIO
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer

from controller.aws import connect
from controller.core.status import ResourceState, Status
from controller.core.values import Key
from controller.engine.endpoints import HttpEndpoints
from controller.engine.hints import find_named_keys, iter_aws_names, parse_region, poll_queue
from controller.engine.metrics import Metrics
from controller.engine.webhook import MAX_BODY_BYTES, DeliveryResult, Webhook

MODEL = Key("default", "ModelService", "m")
ARN = "arn:aws:ecs:us-east-1:123456789012:service/models/moorage-m-1234"
REPOSITORY = "arn:aws:ecr:us-east-1:123456789012:repository/team/moorage-m"
STATUS = Status(
    MODEL,
    1,
    "",
    resources=tuple(
        ResourceState(Key("default", kind, "m"), found, "Ready")
        for kind, found in (("ecs/service", ARN), ("ecr/repository", REPOSITORY), ("apigatewayv2/api", "a1b2c3"))
    ),
)
KNOWN = dict.fromkeys(iter_aws_names(STATUS), MODEL)


def event(source: str = "aws.ecs", resources: Any = (), detail: Any = None) -> str:
    return json.dumps({"source": source, "resources": list(resources), "detail": detail or {}})


@pytest.mark.parametrize(
    "body",
    [
        event(resources=[ARN]),
        event(detail={"group": "service:moorage-m-1234"}),
        event("aws.ecr", detail={"repository-name": "team/moorage-m"}),
    ],
)
def test_event_wakes_the_specs_it_names(body: str) -> None:
    """By the ARN, by a task's group, by a repository's name."""
    assert find_named_keys(body, KNOWN) == {MODEL}


@pytest.mark.parametrize(
    "body",
    [
        "",
        "null",
        "[]",
        "{",
        event("aws.ec2", [ARN]),
        event(resources=[f"{ARN}5"]),
        event(detail={"group": "moorage"}),
        json.dumps({"source": "aws.ecs", "resources": 5, "detail": None}),
    ],
)
def test_unrelated_events_wake_no_spec(body: str) -> None:
    """No JSON, other services, names that only resemble ours."""
    assert find_named_keys(body, KNOWN) == set()


def test_sqs_messages_are_received_and_deleted(running_aws: Any) -> None:
    """Messages are given once and taken off the queue."""
    sqs = running_aws.client("sqs")
    url = sqs.create_queue(QueueName="hints")["QueueUrl"]
    for number in range(3):
        sqs.send_message(QueueUrl=url, MessageBody=f"m{number}")
    heard: list[str] = []

    async def hear() -> None:
        client = connect(region="us-east-1", endpoint=running_aws.endpoint)
        work = asyncio.create_task(poll_queue(lambda: client, url, heard.extend))
        while len(heard) < 3:  # noqa: ASYNC110  (what it waits for happens in a thread)
            await asyncio.sleep(0.01)
        work.cancel()

    asyncio.run(asyncio.wait_for(hear(), 30))
    assert sorted(heard) == ["m0", "m1", "m2"]
    counts = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["ApproximateNumberOfMessagesNotVisible"])
    assert counts["Attributes"]["ApproximateNumberOfMessagesNotVisible"] == "0"


def test_queue_url_gives_its_region() -> None:
    """So that it may be in another one than the models."""
    assert parse_region("https://sqs.eu-west-1.amazonaws.com/1/q") == "eu-west-1"
    assert parse_region("http://127.0.0.1:5000/1/q") is None


def signed(body: bytes, secret: str = "s") -> str:
    return f"sha256={hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()}"


def test_webhook_delivery_must_be_signed_and_is_used_once() -> None:
    """The right signature is taken once.

    A replay, another key, another body, another algorithm and none at all are not.
    """
    hook, body = Webhook("s"), b'{"ref": "refs/heads/main"}'
    assert hook.check_delivery(body, signed(body, "other")) is DeliveryResult.FORGED
    assert hook.check_delivery(body, "") is DeliveryResult.FORGED
    assert hook.check_delivery(body, "sha1=" + "0" * 40) is DeliveryResult.FORGED
    assert hook.check_delivery(body, "sha256=é") is DeliveryResult.FORGED
    assert hook.check_delivery(body + b" ", signed(body)) is DeliveryResult.FORGED
    assert hook.check_delivery(body, signed(body)) is DeliveryResult.ACCEPTED
    assert hook.check_delivery(body, signed(body)) is DeliveryResult.REPLAYED
    assert hook.check_delivery(body + b" ", signed(body + b" ")) is DeliveryResult.ACCEPTED


def test_remembered_deliveries_are_bounded() -> None:
    """A year of deliveries doesn't fill the memory."""
    hook = Webhook("s")
    for number in range(10_050):
        body = str(number).encode()
        assert hook.check_delivery(body, signed(body)) is DeliveryResult.ACCEPTED
    assert len(hook._known) == 10_000


def test_http_endpoints() -> None:
    """Health and readiness say why not; metrics are Prometheus'; a push wakes once; a body without end is refused."""
    trouble, woken = {"ill": "", "unready": "stopping"}, []

    async def ask() -> list[tuple[int, str]]:
        metrics = Metrics()
        pages = HttpEndpoints(
            metrics,
            Webhook("s"),
            liveness_problem=lambda: trouble["ill"],
            readiness_problem=lambda: trouble["unready"],
            on_push=lambda: woken.append(True),
        )
        async with TestClient(TestServer(pages.application())) as client:
            found = []
            for page in ("/healthz", "/readyz", "/metrics"):
                answer = await client.get(page)
                found.append((answer.status, await answer.text()))
            headers = {"X-Hub-Signature-256": signed(b"{}")}
            for body, with_headers in (
                (b"{}", headers),
                (b"{}", headers),
                (b"{}", {}),
                (b"x" * (MAX_BODY_BYTES + 1), {}),
            ):
                answer = await client.post("/hooks/push", data=BytesIO(body), headers=with_headers)
                found.append((answer.status, ""))
            return found

    found = asyncio.run(ask())
    assert found[:2] == [(200, "ok\n"), (503, "stopping\n")]
    assert "moorage_queue_depth 0.0" in found[2][1]
    assert [status for status, _ in found[3:]] == [202, 409, 401, 413]
    assert woken == [True]
