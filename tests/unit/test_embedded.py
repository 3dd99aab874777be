"""The controller's use of the embedded AWS."""

from __future__ import annotations

from pathlib import Path

import pytest

from controller import embedded
from controller.errors import DeadlineError, FailedError, MoorageError, UsageError
from embedded_aws import control

EXPECTED = {
    control.MissingDependencyError: UsageError,
    control.StartFailedError: FailedError,
    control.StartTimeoutError: DeadlineError,
}


@pytest.mark.parametrize("raised", EXPECTED, ids=lambda error: error.__name__)
def test_an_error_of_the_embedded_aws_is_mapped(raised, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each error of the control seam becomes its class of the controller's tree, with the same text."""

    def up(*_: object, **__: object) -> control.ProgramStatus:
        raise raised("it failed", where="local.log", why="because", hint="try again")

    monkeypatch.setattr(control, "up", up)
    with pytest.raises(MoorageError) as caught:
        embedded.up(tmp_path)
    assert type(caught.value) is EXPECTED[raised]
    assert str(caught.value) == "local.log: it failed: because (try again)"
