"""`moorage wait`: the conditions it accepts, and how waiting ends."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from controller.core.status import Condition, Status
from controller.core.values import Key
from controller.errors import DeadlineError, NotFoundError, UsageError
from controller.operations.wait import WaitCondition, wait_for


def status(truth: str) -> Status:
    ready = Condition("Ready", truth, "Waiting", "still training")  # type: ignore[arg-type]
    return Status(Key("e", "ModelService", "n"), 1, "d", (ready,))


class Time:
    """A clock that only `sleep` moves."""

    seconds = 0.0

    def sleep(self, seconds: float) -> None:
        self.seconds += seconds

    def wait(self, read: Callable[[], Status | None], timeout: float) -> Status:
        return wait_for(WaitCondition("Ready"), read, timeout, now=lambda: self.seconds, sleep=self.sleep)


@pytest.mark.parametrize("text", ["Ready", "condition=", "condition=Ready=", "condition=A=B=C", "delete", "=", ""])
def test_invalid_condition_is_refused(text):
    """The error shows the two valid forms."""
    with pytest.raises(UsageError, match="condition=Ready"):
        WaitCondition.parse(text)


def test_a_condition_may_be_true_or_anything_else():
    """The form is kubectl's, in any case, with any status."""
    assert WaitCondition.parse("condition=ready").is_met(status("True"))
    assert not WaitCondition.parse("condition=Ready").is_met(status("False"))
    assert WaitCondition.parse("condition=Ready=false").is_met(status("False"))
    assert not WaitCondition.parse("condition=Trained").is_met(status("True"))


def test_wait_ends_when_the_condition_holds():
    """Waiting also covers the time before the first status."""
    time, answers = Time(), [None, status("False"), status("True")]
    assert time.wait(lambda: answers.pop(0), 60) == status("True")
    assert time.seconds == 2


def test_wait_ends_at_the_timeout():
    """The error has the condition's message; without any status it is NotFoundError."""
    with pytest.raises(DeadlineError, match="still training") as caught:
        Time().wait(lambda: status("False"), 3.5)
    assert caught.value.exit_code == 9
    with pytest.raises(NotFoundError):
        Time().wait(lambda: None, 3.5)
