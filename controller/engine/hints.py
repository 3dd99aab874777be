"""EventBridge messages from an SQS queue: hints that a managed object may have changed. Their content isn't trusted.

A message makes the specs due whose resources it names exactly, by ARN or by name. The rest of it is dropped: the pass
observes AWS itself.
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

# Shorter than a call's timeout, so that an empty queue isn't an error, and shorter than the grace period.
_LONG_POLL_SECONDS = 5
# The pause after a failure, in seconds: the queue is a convenience, and the resync finds every change.
_RETRY_SECONDS = 30.0
_SOURCES = ("aws.ecs", "aws.sagemaker", "aws.ecr", "aws.cloudwatch")
_REGION = re.compile(r"//sqs\.([a-z0-9-]+)\.")
log = structlog.get_logger()


def parse_region(queue: str) -> str | None:
    """Return the Region in a queue's URL; None if it names none."""
    found = _REGION.search(queue)
    return found.group(1) if found else None


def iter_aws_names(status: Status) -> Iterator[str]:
    """Yield the names by which events refer to a spec's resources: ids, ARNs, and the name at the end of an ARN."""
    for state in status.resources:
        if state.id:
            yield state.id
            if state.id.startswith("arn:"):
                name = state.id.split(":", 5)[-1].partition("/")[2]
                yield from {name, name.rpartition("/")[2]} - {""}


def find_named_keys(body: str, known: Mapping[str, Key]) -> set[Key]:
    """Return the specs whose resources a message names; none if it isn't an event of a service that Moorage uses."""
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
    """Pass the bodies of messages to `on_messages` as they arrive, until cancelled.

    Each is deleted from the queue first.
    """
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
    """Yield every string in a message, also without the prefix of ECS's `service:NAME`."""
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
