"""Read the lines that a model's training and tasks wrote to CloudWatch Logs, and the controller's events, as lines."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from controller.aws import AwsClient
from controller.core.status import Event
from controller.core.values import Key
from controller.errors import MissingError
from controller.store.base import Store

TRAINING_GROUP = "/aws/sagemaker/TrainingJobs"
_POLL = 2.0  # seconds
# CloudWatch Logs delivers lines late and out of order, by seconds. So each poll reads this much again (ms).
_LATE_SECONDS = 15_000
_MAX_REMEMBERED = 100_000


@dataclass(frozen=True)
class LogLine:
    """One line: its time (ms since 1970, UTC), the task, job or resource it comes from, and the message.

    `id` distinguishes equal lines.
    """

    time: int
    source: str
    message: str
    id: str

    @property
    def stamp(self) -> str:
        """The time as RFC 3339."""
        moment = datetime.fromtimestamp(self.time / 1000, UTC)
        return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


# Yields the lines since a time (ms since 1970), oldest first.
LogSource = Callable[[int], Iterable[LogLine]]


def cloudwatch_source(aws: AwsClient, group: str, prefix: str = "") -> LogSource:
    """Return a source of the streams of a log group whose names begin with `prefix`.

    A group that doesn't exist has no lines yet.
    """
    chosen = {"logStreamNamePrefix": prefix} if prefix else {}

    def read(since: int) -> Iterator[LogLine]:
        try:
            found = aws.iter_items(
                "logs", "filter_log_events", "events", logGroupName=group, startTime=max(0, since), **chosen
            )
            for event in found:
                source = event["logStreamName"].rpartition("/")[2]
                yield LogLine(event["timestamp"], source, event["message"].rstrip("\n"), event["eventId"])
        except MissingError:
            return

    return read


def controller_source(store: Store, owner: Key) -> LogSource:
    """Return a source of a spec's events."""

    def read(since: int) -> Iterator[LogLine]:
        store.refresh()
        for event in store.list_events(owner, limit=10_000):
            line = _parse_event(event)
            if line.time >= since:
                yield line

    return read


def read_lines(source: LogSource, since: int) -> list[LogLine]:
    """Return the lines since a time (ms), oldest first; of more than 100,000, only the last ones of the source."""
    return sorted(deque(source(since), maxlen=_MAX_REMEMBERED), key=lambda line: line.time)


def follow_lines(
    source: LogSource, since: int, seen: Iterable[LogLine], is_over: Callable[[], bool], sleep: Callable[[float], None]
) -> Iterator[LogLine]:
    """Yield each new line since a time (ms), except the `seen` ones. End after a last poll once `is_over()` holds."""
    known = {line.id: line.time for line in seen}
    while True:
        last = is_over()
        newest = max(known.values(), default=0)
        for line in sorted(source(max(since, newest - _LATE_SECONDS)), key=lambda line: line.time):
            if line.id not in known:
                known[line.id] = line.time
                yield line
        newest = max(known.values(), default=0)
        known = {id_: time for id_, time in known.items() if time >= newest - _LATE_SECONDS}
        if last:
            return
        sleep(_POLL)


def _parse_event(event: Event) -> LogLine:
    about = str(event.key) if event.key else event.owner.kind
    moment = datetime.fromisoformat(event.time)
    text = f"{event.type} {event.reason}: {event.message}" if event.message else f"{event.type} {event.reason}"
    return LogLine(round(moment.timestamp() * 1000), about, text, f"{event.time} {about} {text}")
