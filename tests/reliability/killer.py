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

from controller.aws import Call, Hook
from controller.core.record import Record
from controller.core.values import digest
from controller.errors import AnswerLostError, MoorageError
from controller.store.memory import MemoryStore

# What AWS makes up anew each time, and so tells nothing of what a call is for.
MADE_UP = re.compile(r"\b(sg|ns|srv|subnet|vpc)-[0-9a-z]+\b|\bintegrations/\w+|/apis/\w+|/vpclinks/\w+")
_FLEETING = {"uploadId", "clientToken", "ClientToken", "CreatorRequestId", "ApiId", "IntegrationId", "RouteId"}
_FLEETING |= {"VpcLinkId", "ConnectionId"}


class CrashedError(BaseException):
    """The controller is gone, in the middle of something. No `except Exception` may catch it."""


class Moment(StrEnum):
    """When it dies."""

    BEFORE = "before it is sent"
    LOST = "done, its answer lost"
    UNWRITTEN = "answered, and not written down"
    UNSURE = "done, its answer lost, and the controller lives on"


class Killer(Hook):
    """Watches every write, and kills at the first of each kind when it is told to.

    `sent` counts what reached AWS, by point; `points` are all points in the order in which they came, `journaled` those
    whose answer was followed by a write to the store, with no other call between; `hit` those that it killed at.
    """

    def __init__(self) -> None:
        self.kill: Callable[[Moment, str], bool] = lambda moment, point: False
        self.hit: list[str] = []
        self.points: list[str] = []
        self.journaled: list[str] = []
        self.sent: Counter[str] = Counter()
        self.crashes = 0
        self._answered = ""

    def forget(self) -> None:
        """Begin to count anew."""
        self.hit, self.points, self.journaled = [], [], []
        self.sent.clear()
        self._answered = ""

    def before(self, call: Call) -> None:
        if call.kind == "write":
            self._answered = ""
            self._at(Moment.BEFORE, point_of(call))

    def after(self, call: Call, answer: Mapping[str, Any] | MoorageError) -> None:
        if call.kind != "write" or isinstance(answer, MoorageError):
            return
        point = point_of(call)
        self.sent[point] += 1
        if point not in self.points:
            self.points.append(point)
        self._at(Moment.LOST, point)
        self._at(Moment.UNSURE, point)
        self._answered = point

    def writing_down(self) -> None:
        """The store is about to be written."""
        point, self._answered = self._answered, ""
        if point:
            if point not in self.journaled:
                self.journaled.append(point)
            self._at(Moment.UNWRITTEN, point)

    def _at(self, moment: Moment, point: str) -> None:
        if self.kill(moment, point):
            self.hit.append(point)
            self._answered = ""
            if moment is Moment.UNSURE:
                raise AnswerLostError(f"{point}: {moment}")
            self.crashes += 1
            raise CrashedError(f"{point}: {moment}")

    def rest(self) -> None:
        """Kill no more."""
        self.kill = lambda moment, point: False

    def once_at(self, moment: Moment, point: str) -> None:
        """Kill at this point, the first time it is come to."""
        self.kill = lambda when, where: when is moment and where == point and not self.hit

    def in_turn(self, *turns: tuple[Moment, int]) -> None:
        """Kill at the so-manieth point of the first moment; in the next life, at that of the second; and so on."""
        left, passed = list(turns), count()

        def kill(moment: Moment, point: str) -> bool:
            nonlocal passed
            if not left or moment is not left[0][0] or next(passed) != left[0][1]:
                return False
            del left[0]
            passed = count()
            return True

        self.kill = kill

    def once_at_each(self, moment: Moment) -> None:
        """Kill at every point, the first time it is come to."""
        self.kill = lambda when, point: when is moment and point not in self.hit


def point_of(call: Call) -> str:
    """What tells a call from others, in any life of the controller and in any AWS: its name and what was asked."""
    params = {name: _plain(value) for name, value in call.params.items() if name not in _FLEETING}
    return f"{call.name} {digest(MADE_UP.sub('*', repr(params)))[:8]}"


def _plain(value: Any) -> Any:
    return sha256(value).hexdigest() if isinstance(value, bytes) else value


class Journal(MemoryStore):
    """A store that says when it is about to be written."""

    def __init__(self, killer: Killer) -> None:
        super().__init__()
        self._killer = killer

    def copy(self, killer: Killer) -> Self:
        """The same memory, watched by another killer."""
        other = type(self)(killer)
        other._records, other._statuses = dict(self._records), dict(self._statuses)
        return other

    def put(self, record: Record) -> None:
        self._killer.writing_down()
        super().put(record)

    def drop(self, record: Record) -> None:
        self._killer.writing_down()
        super().drop(record)
