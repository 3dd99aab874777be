"""Cancel work in threads at the next point where nothing is half done."""

from __future__ import annotations

import threading

from controller.aws.calls import AwsCall, Hook


class RunCancelledError(BaseException):
    """Raised when a cancelled run would begin new work.

    Derives from BaseException so that `except Exception` cannot swallow it.
    """


class CancellationToken(Hook):
    """Ends work between steps, so that the step in progress is journaled.

    After `abort`, between any two calls to AWS.
    """

    def __init__(self) -> None:
        self._cancelled, self._aborted = threading.Event(), threading.Event()

    def cancel(self) -> None:
        """Stop further steps from beginning."""
        self._cancelled.set()

    def abort(self) -> None:
        """Stop further calls from beginning, too. The next run finds an unfinished step in the journal."""
        self._cancelled.set()
        self._aborted.set()

    @property
    def is_cancelled(self) -> bool:
        """Whether the run is cancelled."""
        return self._cancelled.is_set()

    def raise_if_cancelled(self) -> None:
        """Raise RunCancelledError once cancelled. Called between steps."""
        if self._cancelled.is_set():
            raise RunCancelledError

    def before(self, call: AwsCall) -> None:
        """Raise RunCancelledError instead of sending a call once aborted."""
        if self._aborted.is_set():
            raise RunCancelledError(call.name)
