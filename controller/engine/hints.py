"""EventBridge's messages from an SQS queue: hints that something we own may have changed. Nothing in them is believed.

A message wakes the specs whose resources it names, by ARN or by name, exactly; whatever else it says is dropped, and the
pass that it wakes looks for itself.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import structlog

from controller.aws import AwsClient
from controller.core.status import Status
from controller.core.values import Key
from controller.environments.cancellation import RunCancelledError
from controller.errors import MoorageError

# Less than the time a call may take, so that an empty queue is no timeout; and than a grace period.
_LONG_POLL_SECONDS = 5
# After a failure, in seconds: the queue is a convenience, and resync finds everything.
_RETRY_SECONDS = 30.0
_SOURCES = ("aws.ecs", "aws.sagemaker", "aws.ecr", "aws.cloudwatch")
_REGION = re.compile(r"//sqs\.([a-z0-9-]+)\.")
log = structlog.get_logger()


def parse_region(queue: str) -> str | None:
    """The region that a queue's URL names."""
    found = _REGION.search(queue)
    return found.group(1) if found else None


def iter_aws_names(status: Status) -> Iterator[str]:
    """How events name a spec's resources: by id or ARN, and by the name at an ARN's end."""
    for state in status.resources:
        if state.id:
            yield state.id
            if state.id.startswith("arn:"):
                name = state.id.split(":", 5)[-1].partition("/")[2]
                yield from {name, name.rpartition("/")[2]} - {""}


def find_named_keys(body: str, known: Mapping[str, Key]) -> set[Key]:
    """The specs that a message is about; none for what isn't an event of a service that we follow."""
    try:
        event = json.loads(body)
    except ValueError:
        return set()
    if not isinstance(event, dict) or event.get("source") not in _SOURCES:
        return set()
    texts = _iter_strings([event.get("resources"), event.get("detail")])
    return {known[text] for text in texts if text in known}


async def poll_queue(
    open_client: Callable[[], AwsClient], queue: str, on_messages: Callable[[list[str]], None]
) -> None:
    """Give `told` the bodies of messages as they come, until cancelled; each is taken off the queue before."""
    while True:
        try:
            bodies = await asyncio.to_thread(_receive, open_client, queue)
        except RunCancelledError:
            return
        except MoorageError as error:
            log.warning("hints", error=str(error))
            await asyncio.sleep(_RETRY_SECONDS)
        else:
            if bodies:
                on_messages(bodies)


def _receive(open_client: Callable[[], AwsClient], queue: str) -> list[str]:
    aws = open_client()
    answer = aws.write(
        "sqs", "receive_message", QueueUrl=queue, MaxNumberOfMessages=10, WaitTimeSeconds=_LONG_POLL_SECONDS
    )
    messages = answer.get("Messages", [])
    if messages:
        entries = [{"Id": str(n), "ReceiptHandle": one["ReceiptHandle"]} for n, one in enumerate(messages)]
        aws.write("sqs", "delete_message_batch", QueueUrl=queue, Entries=entries)
    return [str(one.get("Body", "")) for one in messages]


def _iter_strings(values: Iterable[Any]) -> Iterator[str]:
    """Every text in a message. ECS names a task's service as `service:NAME`."""
    left = list(values)
    while left:
        value = left.pop()
        if isinstance(value, str):
            yield value
            yield value.removeprefix("service:")
        elif isinstance(value, Mapping):
            left.extend(value.values())
        elif isinstance(value, list):
            left.extend(value)
