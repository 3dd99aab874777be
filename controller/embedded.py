"""The embedded AWS as the controller uses it: start it, stop it, find it.

The only module that imports `embedded_aws`, and of that only `embedded_aws.control`. Maps its errors onto the
controller's error tree.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from controller.errors import DeadlineError, FailedError, MoorageError, UsageError
from embedded_aws import control
from embedded_aws.control import ProgramStatus

__all__ = ["ProgramStatus", "down", "status", "up"]

_ERRORS: dict[type[control.EmbeddedAwsError], type[MoorageError]] = {
    control.MissingDependencyError: UsageError,
    control.StartFailedError: FailedError,
    control.StartTimeoutError: DeadlineError,
}


def up(home: Path, *, port: int = 0, runner: str = "", weather: str = "") -> ProgramStatus:
    """Start the embedded AWS of a state directory unless it runs already; return its status.

    Raises UsageError if moto isn't installed, FailedError if the program ends at once, DeadlineError if it doesn't
    answer in time.
    """
    with _mapped_errors():
        return control.up(home, port=port, runner=runner, weather=weather)


def down(home: Path) -> ProgramStatus:
    """Stop the embedded AWS of a state directory and all its child processes."""
    return control.down(home)


def status(home: Path) -> ProgramStatus:
    """Return the status of the embedded AWS of a state directory."""
    return control.status(home)


@contextlib.contextmanager
def _mapped_errors() -> Iterator[None]:
    try:
        yield
    except control.EmbeddedAwsError as error:
        mapped = _ERRORS[type(error)]
        raise mapped(error.what, where=error.where, why=error.why, hint=error.hint) from error
