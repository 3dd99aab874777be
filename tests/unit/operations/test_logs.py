"""Log lines from CloudWatch Logs and from events come in order and once each, late ones included."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from controller.core.status import Event
from controller.core.values import Key
from controller.errors import MissingError
from controller.operations.logs import LogLine, cloudwatch_source, controller_source, follow_lines, read_lines
from controller.store.memory import MemoryStore


def line(time: int, id_: str) -> LogLine:
    return LogLine(time, "task", f"line {id_}", id_)


class FakeAws:
    """Lists the given log events, or raises MissingError for the group."""

    def __init__(self, *events: dict[str, Any], there: bool = True) -> None:
        self.events, self.there, self.asked = events, there, {}

    def iter_items(self, service: str, operation: str, key: str, /, **params: Any) -> Iterator[Any]:
        self.asked = params
        if not self.there:
            raise MissingError("no such group")
        yield from self.events


def test_streams_are_merged_in_time_order():
    """Lines of several tasks are sorted by time; the last part of the stream's name is their source."""
    events = [
        {"timestamp": 2000, "logStreamName": "server/server/b", "message": "two\n", "eventId": "2"},
        {"timestamp": 1000, "logStreamName": "server/server/a", "message": "one", "eventId": "1"},
    ]
    aws: Any = FakeAws(*events)
    found = read_lines(cloudwatch_source(aws, "/moorage/default/m", "server/"), 500)
    assert [(one.source, one.message) for one in found] == [("a", "one"), ("b", "two")]
    assert found[0].stamp == "1970-01-01T00:00:01.000Z"
    assert aws.asked == {"logGroupName": "/moorage/default/m", "startTime": 500, "logStreamNamePrefix": "server/"}


def test_a_group_that_is_not_there_has_no_lines():
    """Before a training starts, its log group doesn't exist."""
    aws: Any = FakeAws(there=False)
    assert read_lines(cloudwatch_source(aws, "/aws/sagemaker/TrainingJobs"), 0) == []


def test_following_shows_each_line_once_and_late_ones_too():
    """A late line with an earlier time is shown once, and the last poll comes after the end."""
    looks = [
        [line(20_000, "a"), line(21_000, "b")],
        [line(20_500, "late"), line(21_000, "b"), line(22_000, "c")],
        [line(22_000, "c"), line(22_000, "d")],
    ]
    asked: list[int] = []

    def source(since: int) -> list[LogLine]:
        asked.append(since)
        return looks.pop(0)

    over = iter([False, False, True])
    slept: list[float] = []
    seen = [line(19_000, "old"), line(20_000, "a")]
    shown = follow_lines(source, 6_000, seen, lambda: next(over), slept.append)
    assert [one.id for one in shown] == ["b", "late", "c", "d"]
    assert asked == [6_000, 6_000, 7_000]
    assert len(slept) == 2


def test_the_controllers_lines_are_its_events():
    """The source yields the events of one spec since a time."""
    store, owner = MemoryStore(), Key("default", "ModelService", "m")
    key = Key("default", "ecs/service", "m")
    store.emit(Event("2026-01-01T00:00:01Z", owner, "Normal", "Created", "cpu", key))
    store.emit(Event("2026-01-01T00:00:02Z", owner, "Warning", "RolledBack", ""))
    store.emit(Event("2026-01-01T00:00:02Z", owner._replace(name="other"), "Normal", "Created", "x"))
    found = read_lines(controller_source(store, owner), 0)
    assert [(one.source, one.message) for one in found] == [
        ("ecs/service m", "Normal Created: cpu"),
        ("ModelService", "Warning RolledBack"),
    ]
    assert len(read_lines(controller_source(store, owner), found[1].time)) == 1
