"""How work in threads is ended: it is asked to, and says yes at the next place where nothing is half done."""

from __future__ import annotations

import threading

from controller.aws.calls import AwsCall, Hook


class RunCancelledError(BaseException):
    """Nothing more is to be begun. No error of the tree: no handler of errors may take it for an outcome and go on."""


class CancellationToken(Hook):
    """First between steps, so that a step under way is journaled; once `hurry` was called, between any two calls to AWS."""

    def __init__(self) -> None:
        self._cancelled, self._aborted = threading.Event(), threading.Event()

    def cancel(self) -> None:
        """Let no further step begin."""
        self._cancelled.set()

    def abort(self) -> None:
        """Let no further call begin either. What a step then leaves undone, the next run finds in the journal."""
        self._cancelled.set()
        self._aborted.set()

    @property
    def is_cancelled(self) -> bool:
        """Whether the end has begun."""
        return self._cancelled.is_set()

    def raise_if_cancelled(self) -> None:
        """Raises HaltedError once asked; called between steps."""
        if self._cancelled.is_set():
            raise RunCancelledError

    def before(self, call: AwsCall) -> None:
        """Raises HaltedError in the place of a call once hurried."""
        if self._aborted.is_set():
            raise RunCancelledError(call.name)
