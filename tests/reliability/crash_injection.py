"""What kills the controller: at a call before it is sent, once it is done and before its answer is read, or once it is
answered and before that is written down.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping
from enum import StrEnum
from hashlib import sha256
from itertools import count
from typing import Any, Self

from controller.aws import AwsCall, Hook
from controller.core.record import Record
from controller.core.values import digest
from controller.errors import AnswerLostError, MoorageError
from controller.store.memory import MemoryStore

# What AWS makes up anew each time, and so tells nothing of what a call is for.
GENERATED_IDS = re.compile(r"\b(sg|ns|srv|subnet|vpc)-[0-9a-z]+\b|\bintegrations/\w+|/apis/\w+|/vpclinks/\w+")
_VOLATILE_PARAMETERS = {
    "uploadId",
    "clientToken",
    "ClientToken",
    "CreatorRequestId",
    "ApiId",
    "IntegrationId",
    "RouteId",
}
_VOLATILE_PARAMETERS |= {"VpcLinkId", "ConnectionId"}


class CrashedError(BaseException):
    """The controller is gone, in the middle of something. No `except Exception` may catch it."""


class CrashMoment(StrEnum):
    """When it dies."""

    BEFORE = "before it is sent"
    ANSWER_LOST = "done, its answer lost"
    NOT_JOURNALED = "answered, and not written down"
    SURVIVES_LOST_ANSWER = "done, its answer lost, and the controller lives on"


class CrashInjector(Hook):
    """Watches every write, and kills at the first of each kind when it is told to.

    `sent` counts what reached AWS, by point; `points` are all points in the order in which they came, `journaled` those
    whose answer was followed by a write to the store, with no other call between; `hit` those that it killed at.
    """

    def __init__(self) -> None:
        self.should_crash: Callable[[CrashMoment, str], bool] = lambda moment, point: False
        self.hit: list[str] = []
        self.points: list[str] = []
        self.journaled: list[str] = []
        self.sent: Counter[str] = Counter()
        self.crashes = 0
        self._answered = ""

    def reset(self) -> None:
        """Begin to count anew."""
        self.hit, self.points, self.journaled = [], [], []
        self.sent.clear()
        self._answered = ""

    def before(self, call: AwsCall) -> None:
        if call.kind == "write":
            self._answered = ""
            self._crash_if_due(CrashMoment.BEFORE, call_fingerprint(call))

    def after(self, call: AwsCall, answer: Mapping[str, Any] | MoorageError) -> None:
        if call.kind != "write" or isinstance(answer, MoorageError):
            return
        point = call_fingerprint(call)
        self.sent[point] += 1
        if point not in self.points:
            self.points.append(point)
        self._crash_if_due(CrashMoment.ANSWER_LOST, point)
        self._crash_if_due(CrashMoment.SURVIVES_LOST_ANSWER, point)
        self._answered = point

    def before_store_write(self) -> None:
        """The store is about to be written."""
        point, self._answered = self._answered, ""
        if point:
            if point not in self.journaled:
                self.journaled.append(point)
            self._crash_if_due(CrashMoment.NOT_JOURNALED, point)

    def _crash_if_due(self, moment: CrashMoment, point: str) -> None:
        if self.should_crash(moment, point):
            self.hit.append(point)
            self._answered = ""
            if moment is CrashMoment.SURVIVES_LOST_ANSWER:
                raise AnswerLostError(f"{point}: {moment}")
            self.crashes += 1
            raise CrashedError(f"{point}: {moment}")

    def disable(self) -> None:
        """Kill no more."""
        self.should_crash = lambda moment, point: False

    def crash_at(self, moment: CrashMoment, point: str) -> None:
        """Kill at this point, the first time it is come to."""
        self.should_crash = lambda when, where: when is moment and where == point and not self.hit

    def crash_in_sequence(self, *turns: tuple[CrashMoment, int]) -> None:
        """Kill at the so-manieth point of the first moment; in the next life, at that of the second; and so on."""
        left, passed = list(turns), count()

        def kill(moment: CrashMoment, point: str) -> bool:
            nonlocal passed
            if not left or moment is not left[0][0] or next(passed) != left[0][1]:
                return False
            del left[0]
            passed = count()
            return True

        self.should_crash = kill

    def crash_at_each(self, moment: CrashMoment) -> None:
        """Kill at every point, the first time it is come to."""
        self.should_crash = lambda when, point: when is moment and point not in self.hit


def call_fingerprint(call: AwsCall) -> str:
    """What tells a call from others, in any life of the controller and in any AWS: its name and what was asked."""
    params = {name: _hashable(value) for name, value in call.params.items() if name not in _VOLATILE_PARAMETERS}
    return f"{call.name} {digest(GENERATED_IDS.sub('*', repr(params)))[:8]}"


def _hashable(value: Any) -> Any:
    return sha256(value).hexdigest() if isinstance(value, bytes) else value


class ObservedMemoryStore(MemoryStore):
    """A store that says when it is about to be written."""

    def __init__(self, crash_injector: CrashInjector) -> None:
        super().__init__()
        self._killer = crash_injector

    def copy(self, crash_injector: CrashInjector) -> Self:
        """The same memory, watched by another killer."""
        other = type(self)(crash_injector)
        other._records, other._statuses = dict(self._records), dict(self._statuses)
        return other

    def put_record(self, record: Record) -> None:
        self._killer.before_store_write()
        super().put_record(record)

    def delete_record(self, record: Record) -> None:
        self._killer.before_store_write()
        super().delete_record(record)
